"""How a process gets network, mounts, host name and processes of its own, without any rights on this machine."""

ISOLATE = (
    *("unshare", "--user", "--map-root-user", "--net", "--mount", "--uts"),
    *("--pid", "--mount-proc", "--fork", "--kill-child"),
)
