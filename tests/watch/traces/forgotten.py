"""Unused boxes. Each must stop, at the right minute."""

from __future__ import annotations

from watch.sample import Job, Unknown, Used

from .builder import (
    UNREADABLE,
    Box,
    cpu,
    gpu,
    job,
    jupyter,
    kernel,
    rate,
    since,
    since_every,
    typed,
)
from .story import story


@story(stops=30, why="idle 30 min")
def a_box_never_used(box: Box) -> None:
    box.run(60)


@story(stops=90, why="last activity: gpu 0")
def a_training_that_ended_in_the_night(box: Box) -> None:
    box.run(60, gpu=gpu(95.0)).run(60)


@story(stops=31, why="last activity: typed on pts/0")
def an_editor_left_open_over_night(box: Box) -> None:
    """Its server uses CPU, and its connection and terminals stay open."""
    box.run(1, ssh=typed(0.0)).run(480, ssh=typed(since()), cpu=cpu(0.03, "node"), network=rate(2e4))


@story(stops=30)
def a_jupyter_tab_left_open(box: Box) -> None:
    idle = jupyter(kernel("idle", None), documents=(Used("lesson1.ipynb", None),))
    box.run(480, jupyter=idle, cpu=cpu(0.02, "jupyter-lab"), network=rate(1e3))


@story(stops=35, why="kernel lesson1.ipynb")
def an_open_jupyter_tunnel_without_a_running_kernel(box: Box) -> None:
    """The best other tool stops this box at once or never, because it watches the tunnel."""
    box.run(5, jupyter=jupyter(kernel("busy", cores=0.8)))
    box.run(120, jupyter=lambda minute: jupyter(kernel("idle", minute * 60)))


@story(stops=32)
def a_forgotten_interactive_shell(box: Box) -> None:
    """The best other tool never stops this box, because a session is connected."""
    box.run(2, ssh=typed(1.0)).run(600, ssh=typed(since()))


@story(stops=30)
def a_desktop_that_uses_one_percent_of_the_gpu(box: Box) -> None:
    box.run(120, gpu=gpu(1.0, compute=False))


@story(stops=30)
def a_screen_saver_at_40_percent_without_a_compute_process(box: Box) -> None:
    box.run(120, gpu=gpu(40.0, compute=False))


@story(stops=60)
def an_idle_kernel_that_holds_gpu_memory(box: Box) -> None:
    box.run(30, gpu=gpu(70.0), jupyter=jupyter(kernel("busy", gpu=True)))
    box.run(300, gpu=gpu(0.0), jupyter=lambda minute: jupyter(kernel("idle", minute * 60)))


@story(stops=60 + 120 + 30, why="last activity")
def a_job_that_was_busy_once_and_then_hung(box: Box) -> None:
    box.run(60, job=job(cores=1.0), cpu=cpu(1.0)).run(400, job=job(quiet=9e9))


@story(stops=60 + 120 + 30)
def a_dead_locked_job_that_holds_gpu_memory(box: Box) -> None:
    box.run(60, job=job(gpu=True), gpu=gpu(90.0)).run(400, job=job(), gpu=gpu(0.0))


@story(stops=60 + 120 + 30, why="idle 30 min")
def a_queue_whose_head_is_dead_locked(box: Box) -> None:
    head, rest = job(gpu=True), (Job("next", queued=True),)
    box.run(60, job=head + rest, gpu=gpu(90.0)).run(400, job=job() + rest, gpu=gpu(0.0))


@story(stops=120 + 30)
def a_queue_that_nothing_starts(box: Box) -> None:
    """Its jobs need more GPUs than the machine has since a resize."""
    box.run(400, job=(Job("next", queued=True),))


@story(stops=10 + 120 + 30)
def a_kernel_stuck_in_input(box: Box) -> None:
    box.run(10, jupyter=jupyter(kernel("busy", cores=0.5)))
    box.run(300, jupyter=lambda minute: jupyter(kernel("busy", since(10)(minute))))


@story(stops=120 + 30)
def a_notebook_s_sleep_loop_that_polls(box: Box) -> None:
    """It prints, the tab saves the output, and it uses a hundredth of a core."""
    printed = since_every(2)
    box.run(
        300,
        cpu=cpu(0.01),
        jupyter=lambda minute: jupyter(
            kernel("busy", minute * 60, cores=0.01), documents=(Used("lesson1.ipynb", printed(minute)),)
        ),
    )


@story(stops=30)
def a_kernel_stuck_in_starting_for_weeks(box: Box) -> None:
    box.run(300, jupyter=jupyter(kernel("starting", None)))


@story(stops=30)
def apt_s_daily_upgrade_on_an_idle_box(box: Box) -> None:
    """System daemons do not count."""
    box.run(10).run(15, cpu=cpu(0.0, ""), disk=rate(0.0), network=rate(0.0)).run(60)


@story(stops=30)
def a_burst_of_cpu_every_ten_minutes_is_no_work(box: Box) -> None:
    """One second of cron."""
    for _ in range(12):
        box.run(0.25, cpu=cpu(0.07, "sh")).run(9.75)


@story(stops=30)
def keep_alives_and_telemetry(box: Box) -> None:
    box.run(120, network=rate(8e4), cpu=cpu(0.02), disk=rate(2e4))


@story(stops=120 + 30, why="idle")
def nvidia_smi_that_hangs_for_ever(box: Box) -> None:
    box.run(400, gpu=UNREADABLE)


@story(stops=10 + 20 + 30)
def nvidia_smi_that_hangs_then_recovers_on_an_idle_box(box: Box) -> None:
    box.run(10, ssh=typed(0.0)).run(20, gpu=UNREADABLE).run(120)


@story(stops=30 + 11 * 0.25)
def a_probe_that_fails_now_and_then(box: Box) -> None:
    """One unreadable sample in 12 pauses the idle clock for 15 s each."""
    for _ in range(60):
        box.run(0.25, gpu=UNREADABLE).run(2.75)


@story(stops=120 + 30)
def a_probe_that_flaps_for_ever(box: Box) -> None:
    """Mostly unreadable: that delays the stop by two hours in total."""
    for _ in range(200):
        box.run(3.75, gpu=UNREADABLE).run(0.25)


@story(stops=120 + 30)
def jupyter_down_for_ever(box: Box) -> None:
    box.run(400, jupyter=Unknown("connection refused"))


@story(stops=120 + 30)
def everything_unreadable(box: Box) -> None:
    broken = Unknown("PermissionError")
    names = ("gpu", "cpu", "disk", "network", "ssh", "jupyter", "job", "keep")
    box.run(400, **dict.fromkeys(names, broken))


@story(stops=30)
def the_clock_set_forward_a_day_on_an_idle_box(box: Box) -> None:
    box.run(10).set_clock(24).run(60)


@story(stops=30)
def the_clock_set_back_a_day_on_an_idle_box(box: Box) -> None:
    box.run(10).set_clock(-24).run(60)


@story(stops=60 + 30)
def a_keep_that_expired(box: Box) -> None:
    box.run(240, keep=lambda minute: max(0.0, (60 - minute) * 60))


@story(stops=25 + 1 + 30)
def a_reboot_gives_an_idle_box_one_fresh_window(box: Box) -> None:
    box.run(5, cpu=cpu(1.0)).run(20).reboot(1).run(120)


@story(stops=10 + 1 + 20 + 1 + 10)
def a_box_that_reboots_again_and_again_unused(box: Box) -> None:
    """The idle time of an unused boot carries over to the next: a reboot is not use."""
    box.run(10, cpu=cpu(1.0)).reboot()
    for _ in range(9):
        box.run(20).reboot()


@story(stops=20 + 5 + 30)
def a_box_that_was_stopped_unused_and_started_again(box: Box) -> None:
    """A start gives the whole idle time, however long the box idled before."""
    box.run(20).power_off().reboot(5).run(60)


@story(stops=12 * 60, why="max_hours", max_hours=12)
def a_busy_box_at_its_max_hours(box: Box) -> None:
    box.run(13 * 60, cpu=cpu(1.0), gpu=gpu(99.0), keep=3600.0)


@story(stops=4 * 60, why="deadline", deadline=1_767_225_600.0 + 4 * 3600)
def a_busy_box_whose_money_is_spent(box: Box) -> None:
    box.run(5 * 60, cpu=cpu(1.0))


@story(stops=3 * 60, why="stop_at", stop_at="03:00", tz="UTC")
def a_busy_box_at_the_hour_at_which_it_must_stop(box: Box) -> None:
    box.run(5 * 60, cpu=cpu(1.0))


@story(stops=30, deadline=1_767_225_600.0 - 3600)
def a_deadline_of_an_earlier_session_is_over(box: Box) -> None:
    box.run(60)


@story(stops=90, idle_after="1h")
def a_longer_idle_time_by_policy(box: Box) -> None:
    box.run(30, cpu=cpu(1.0)).run(120)


@story(stops=20 + 3 * 24 * 60 + 30)
def a_box_forced_off_for_days_gets_a_fresh_half_hour(box: Box) -> None:
    """A forced stop by EC2 records no power-off."""
    box.run(20).reboot(3 * 24 * 60).run(60)
