"""The embedded cloud: AWS's API on loopback, with machines behind it to SSH into (`gpu-box --local`).

gpu-box reaches it through its endpoint only, as it would reach AWS. This package imports nothing of gpu-box.

    daemon       start, status, stop, for the command line; standard library alone
    server       the daemon's process: the API, the reconciler, and when it ends
    api/         HTTP requests: authentication, routing, checks of parameters
    ec2/, iam/, scheduler/, services/   AWS's behaviour where moto's differs; `install` puts it in place
    faults       what tests can set: capacity, quotas, delays, failures
    reconciler   keeps one machine for each running instance
    machines/    the two kinds: processes of the current user, and nspawn (tests only, not in the wheel)
"""
