"""Busy boxes, which must not stop."""

from __future__ import annotations

from watch.sample import Job, Used

from .builder import (
    Box,
    cpu,
    eight_gpus,
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


@story(stops=None)
def training_with_a_data_loader_pause(box: Box) -> None:
    for _ in range(8):
        box.run(25, gpu=gpu(96.0), cpu=cpu(3.0))
        box.run(20, gpu=gpu(0.0), cpu=cpu(0.02))


@story(stops=None, why="gpu 0 at 100 %")
def a_gpu_at_100_percent_with_a_cpu_at_0(box: Box) -> None:
    box.run(600, gpu=gpu(100.0), cpu=cpu(0.0))


@story(stops=None, why="gpu 5")
def one_busy_gpu_of_eight(box: Box) -> None:
    box.run(300, gpu=eight_gpus(0, 0, 0, 0, 0, 92, 0, 0))


@story(stops=None, why="network")
def a_download_with_everything_else_quiet(box: Box) -> None:
    box.run(180, network=rate(4e6), cpu=cpu(0.04, "wget"))


@story(stops=None, why="disk")
def a_copy_between_disks_at_a_low_cpu(box: Box) -> None:
    box.run(120, disk=rate(30e6, "cp"), cpu=cpu(0.05, "cp"))


@story(stops=None, why="cpu (python) 1.00 cores")
def one_busy_core_of_96(box: Box) -> None:
    box.run(300, cpu=cpu(1.0))


@story(stops=None, why="lesson1.ipynb computes")
def a_silent_nine_hour_cell(box: Box) -> None:
    busy = kernel("busy", cores=1.0)
    box.run(540, jupyter=jupyter(busy), cpu=cpu(1.0))


@story(stops=None, why="computes")
def a_kernel_that_computes_for_nine_hours_with_the_laptop_closed(box: Box) -> None:
    box.run(5, ssh=typed(3.0), jupyter=jupyter(kernel("busy", gpu=True)), gpu=gpu(88.0))
    box.run(540, ssh=(), jupyter=jupyter(kernel("busy", gpu=True, cores=0.2)), gpu=gpu(88.0), cpu=cpu(0.2))


@story(stops=None, why="document lesson1.ipynb edited")
def a_notebook_edited_for_an_hour_without_running_a_cell(box: Box) -> None:
    autosave = since_every(2)
    box.run(
        60,
        jupyter=lambda minute: jupyter(
            kernel("idle", since(20)(minute)), documents=(Used("lesson1.ipynb", autosave(minute)),)
        ),
    )


@story(stops=None, why="document train.py edited")
def a_script_edited_in_jupyterlab_without_a_kernel(box: Box) -> None:
    autosave = since_every(2)
    box.run(90, jupyter=lambda minute: jupyter(documents=(Used("train.py", autosave(minute)),)))


@story(stops=None, why="saved in vscode-server")
def files_edited_in_a_remote_editor_without_running_anything(box: Box) -> None:
    box.run(60, ssh=typed(since_every(3), "vscode-server"), cpu=cpu(0.03, "node"))


@story(stops=None)
def a_person_in_less_who_types_every_20_minutes(box: Box) -> None:
    box.run(240, ssh=typed(since_every(20)))


@story(stops=None)
def a_cell_run_every_25_minutes(box: Box) -> None:
    used = since_every(25)
    box.run(200, jupyter=lambda minute: jupyter(kernel("idle", used(minute))))


@story(stops=None, why="active")
def training_in_a_detached_tmux(box: Box) -> None:
    """The best other tool stops this box, because no session is connected."""
    box.run(3, ssh=typed(2.0), cpu=cpu(1.0), gpu=gpu(80.0))
    box.run(300, ssh=typed(since()), cpu=cpu(1.0), gpu=gpu(80.0))


@story(stops=None, why="cpu (tar) 0.80 cores")
def a_command_run_without_a_terminal(box: Box) -> None:
    box.run(120, ssh=(), cpu=cpu(0.8, "tar"))


@story(stops=None, why="job train")
def a_job_that_waits_for_others_but_logs_its_progress(box: Box) -> None:
    line = since_every(1)
    box.run(300, job=lambda minute: job(quiet=line(minute)))


@story(stops=None, why="1 more waits")
def a_queue_whose_head_is_quiet_for_an_hour_and_a_half_between_two_steps(box: Box) -> None:
    """Without the queue's jobs and the head's own, the box would be idle after half an hour."""
    rest = (Job("next", queued=True),)
    for _ in range(3):
        box.run(1, job=job(cores=1.0) + rest, cpu=cpu(1.0)).run(90, job=job() + rest)


@story(stops=None, why="job train")
def a_keep_that_expires_while_a_job_still_runs(box: Box) -> None:
    box.run(120, keep=lambda minute: max(0.0, (60 - minute) * 60), job=job(cores=1.0), cpu=cpu(1.0))


@story(stops=None, why="keep")
def a_keep_holds_an_idle_box(box: Box) -> None:
    box.run(170, keep=lambda minute: (180 - minute) * 60)


@story(stops=None, why="disk")
def swap_thrash_of_a_job_too_big_for_memory(box: Box) -> None:
    """Samples are late and the CPU waits, but the job reads pages."""
    box.run(120, interval=50, cpu=cpu(0.03), disk=rate(60e6, "python"), job=job(bps=60e6))


@story(stops=None, why="cpu")
def setup_installs_packages_before_anything_else_exists(box: Box) -> None:
    for _ in range(6):
        box.run(8, gpu=None, cpu=cpu(0.9, "uv"), network=rate(20e6))
        box.run(10, gpu=None, cpu=cpu(0.3, "dpkg"))


@story(stops=None)
def a_reboot_in_mid_training(box: Box) -> None:
    box.run(60, gpu=gpu(95.0), job=job(gpu=True, cores=1.0))
    box.reboot().run(20).run(60, gpu=gpu(95.0), job=job(gpu=True, cores=1.0))


@story(stops=None, why="gpu 0")
def the_clock_set_forward_and_back_a_day_while_training(box: Box) -> None:
    box.run(20, gpu=gpu(95.0)).set_clock(24).run(20, gpu=gpu(95.0)).set_clock(-48).run(20, gpu=gpu(95.0))


@story(stops=None, deadline=1_767_225_600.0 + 12 * 3600, why="active")
def a_clock_set_forward_past_the_deadline_does_not_stop_a_busy_box(box: Box) -> None:
    box.run(30, cpu=cpu(1.0)).set_clock(24).run(60, cpu=cpu(1.0))


@story(stops=None, why="active")
def a_suspend_in_mid_work(box: Box) -> None:
    box.run(20, cpu=cpu(1.0)).suspend(9).run(20, cpu=cpu(1.0))


@story(stops=None)
def a_suspend_of_an_idle_box_is_no_idle_time(box: Box) -> None:
    box.run(20).suspend(9).run(9)


@story(stops=None, why="active")
def nvidia_smi_hangs_during_training_then_recovers(box: Box) -> None:
    from .builder import UNREADABLE

    box.run(60, gpu=gpu(95.0)).run(110, gpu=UNREADABLE).run(60, gpu=gpu(95.0))


@story(stops=None, why="computes")
def jupyter_restarted_while_its_kernels_compute(box: Box) -> None:
    from watch.sample import Unknown

    busy = jupyter(kernel("busy", cores=0.9))
    box.run(60, jupyter=busy).run(40, jupyter=Unknown("refused")).run(60, jupyter=busy)


@story(stops=None, why="lesson2.ipynb computes")
def a_kernel_that_computes_beside_one_that_is_stuck(box: Box) -> None:
    kernels = jupyter(kernel("busy", cores=0.0), kernel("busy", name="lesson2.ipynb", cores=0.5))
    box.run(400, jupyter=kernels)


@story(stops=None)
def an_hour_without_a_watcher(box: Box) -> None:
    """Time without a watcher is not idle time."""
    box.run(10, cpu=cpu(1.0)).run(15).unwatched(60).run(10)
