# shellcheck shell=bash
# The surroundings of whatever the kit runs: the same on every machine, so that the result depends on the server alone.
# A script sources this before it does anything else. It sets KIT, the kit's directory, and ME, the script's own name.

if [[ -z ${SURROUNDINGS:-} ]]; then # an inner script finds it done
    # No function of the caller's, and no signal that the caller ignores: a script could not undo that, and xargs, timeout
    # and wait do not work then. (SIGHUP stays ignored: that is nohup's.)
    while read -r _ _ name; do unset -f "$name"; done < <(declare -F)
    ignored=$(sed -n 's/^SigIgn:\t*//p' "/proc/$$/status" 2>/dev/null) || true
    signals=INT,USR1,USR2,PIPE,ALRM,TERM,CHLD
    if ((16#${ignored:-0} & 0x17a02)) && env --default-signal="$signals" true 2>/dev/null; then
        exec env --default-signal="$signals" "$BASH" -- "$0" "$@"
    fi
    unset name ignored signals
fi
unset CDPATH # cd would look elsewhere, and print where it has gone
KIT=$(cd -P -- "${BASH_SOURCE[0]%/*}/../.." && pwd)
ME=${0#"$KIT/"}

# What is wrong with the call, in one line; the exit status says that nothing has been tested.
fail() { # MESSAGE
    echo "$ME: $1" >&2
    exit 2
}

# Of the environment only what the kit knows: no proxy, no locale.
if [[ -z ${SURROUNDINGS:-} ]]; then
    USER_LANGUAGE="${LC_ALL:-} ${LC_MESSAGES:-} ${LANG:-}"
    # Only for what is installed: proxies, a registry, certificates.
    PROXIES=$(env | grep -iE '^([a-z]*_proxy|npm_config_[a-z_]*|node_extra_ca_certs|ssl_cert_(file|dir))=' || true)
    for name in $(compgen -e); do
        # shellcheck disable=SC2163
        case $name in
        PATH | HOME | USER | LOGNAME | SHELL | TERM | COLUMNS | TMPDIR | PWD | OLDPWD | SHLVL | _) ;;
        SERVER | ONLY | VERBOSE | SANITIZE | REGRADE | QUICK | FULL | REPORT | CI | AUTOGRADER | STAGE) ;; # what one may set
        CC | CFLAGS | SERVER_CORE | CLIENT_CORE | ASAN_OPTIONS | TSAN_OPTIONS | PROXIES | USER_LANGUAGE) ;;
        *) unset "$name" 2>/dev/null || export -n "${name?}" ;; # some are read-only
        esac
    done
    unset name
    PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export USER_LANGUAGE PROXIES SURROUNDINGS=yes
    # Texts are UTF-8, and everything is sorted by its bytes. (A system without this locale has at least C.)
    export LC_ALL=C.UTF-8
    letter=中
    ((${#letter} == 1)) || LC_ALL=C
    unset letter
    umask 022
    ulimit -c 0
    ulimit -S -n "$(ulimit -H -n)"
fi 2>/dev/null

# The language in which the user reads: zh or en. LC_ALL=C.UTF-8 alone, which the lessons ask for, makes nobody English.
language() {
    case ${REPORT:-} in
    zh | en) echo "$REPORT" ;;
    '') if [[ " $USER_LANGUAGE" == *" zh"* ]]; then echo zh; else echo en; fi ;;
    *) fail "REPORT=$REPORT: it is zh or en" ;;
    esac
}

# A filter for what is printed for a person: in the language of the reader.
translate() { if [[ $(language) == zh ]]; then "$KIT/tests/lib/translate"; else cat; fi; }

# Installs what is missing (tests/lib/tools). Sets BATS.
need_tools() { # [PROGRAM:PACKAGE]...
    BATS=$("$KIT/tests/lib/tools" "$@") || exit 2
    export BATS
}

# Whether we can run a program as another user. (A root whose namespace has no other users cannot.)
is_root() { ((EUID == 0)) && setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; }

# Sets TMPDIR to a directory from which programs can be run, also by the user that a server runs as.
find_temporary() {
    local directory probe as=()
    ! is_root || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    for directory in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm "$KIT/build"; do
        if [[ $directory != /* ]] || ! probe=$(mktemp -d "$directory/kit.XXXXXX" 2>/dev/null); then continue; fi
        chmod 711 "$probe"
        printf '#!/bin/sh\n' >"$probe/program"
        chmod 755 "$probe/program"
        if "${as[@]}" "$probe/program" 2>/dev/null; then
            rm -r "$probe"
            export TMPDIR=$directory
            return
        fi
        rm -r "$probe"
    done
    fail "programs can be run from none of /tmp, /var/tmp, /dev/shm and build/ (noexec?): set TMPDIR to a directory where they can"
}

# Finds out in what kind of place servers can run here. Sets SANDBOX (root or user: there are namespaces, and we are root in
# them, or are not; none), SIZED (options of bubblewrap), and KIND, which says it in words.
find_place() {
    if [[ -z ${SANDBOX:-} ]]; then
        SIZED=
        [[ $(bwrap --help 2>&1) != *--size* ]] || SIZED="--size 67108864"
        export SIZED
        SANDBOX=$("$KIT/tests/lib/sandbox" -q) || SANDBOX=none
        export SANDBOX
    fi
    KIND="namespaces, as $([[ $SANDBOX == root ]] && echo "root" || echo "a user")"
    [[ $SANDBOX != none ]] || KIND="no namespaces, as $(is_root && echo "root" || echo "a user")"
    export KIND
}

# The kind of place, and what is weaker in it, in one line.
describe_place() {
    local weaker="each server has a network and processes of its own"
    [[ $SANDBOX != user ]] || weaker+=", and your rights"
    if [[ $SANDBOX == none ]]; then
        weaker="servers share the network of this machine, so stages 1 to 4 take turns on port 8080"
        [[ $KIND == *root ]] || weaker+="; a server can do what you can: run none that you do not trust"
    fi
    echo "place: $KIND: $weaker"
}

# Ends all processes whose program or working directory lies in a directory of ours, also those that they start meanwhile.
end_processes_in() { # DIRECTORY, below one that mktemp has made
    local place="*/kit.${1##*/kit.}" processes tries=0
    while ((tries++ < 100)); do
        processes=$(find /proc/[0-9]*/{cwd,exe} -maxdepth 0 \( -lname "$place" -o -lname "$place/*" \) 2>/dev/null | cut -d / -f 3) || true
        [[ -n $processes ]] || return 0
        xargs kill -KILL <<<"$processes" 2>/dev/null || true
    done
}
