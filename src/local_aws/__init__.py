"""The embedded cloud: AWS's API on loopback, with machines behind it to SSH into (`gpu-box --local`).

The rest of the project reaches it over its endpoint only, as it would AWS; `daemon` starts and stops it.

    daemon          for the CLI: start, status, stop. Standard library alone
    server          the daemon's own process: the API, the reconciler, and when it ends
    incoming        an HTTP request before anything else sees it: no browser, no endless body
    signature, authentication, authorization    how it was signed, by whom, and whether that one may
    semantics/      what AWS does and moto does not
    reconciler      keeps one machine behind each running instance
    machine         what a machine is; `process` and `nspawn` are the two kinds
"""
