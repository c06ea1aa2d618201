"""The embedded cloud: AWS's API on loopback, with machines behind it to SSH into (`gpu-box --local`).

gpu-box reaches it over its endpoint only, as it would AWS. It imports nothing of gpu-box.

    daemon       start, status, stop, for the command line; standard library alone
    server       the daemon's own process: the API, the reconciler, and when it ends
    api/         HTTP requests: who may send them, which call they are, what AWS refuses in a text
    ec2/, iam/, scheduler/, services/   what AWS does and moto does not; `install` puts it in moto's place
    faults       what a test can set: capacity, quotas, delays, failures
    reconciler   keeps one machine behind each running instance
    machines/    the two kinds: processes of the current user, and nspawn (tests only, not in the wheel)
"""
