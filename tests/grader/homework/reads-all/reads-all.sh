#!/bin/sh
# Prints whatever it can read of others while it runs.
{
    env
    cat /proc/*/environ /proc/*/cmdline | tr '\0' '\n'
    grep -rsI "stolen[-]mark" / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr | head -n 100
} >&2
exit 1
