#!/bin/sh
# Installs, upgrades or removes the Linkpulse edge agent on Debian and Raspberry Pi OS.
set -eu
umask 022

usage() {
    cat <<'END'
usage: sudo ./install.sh [options]
       sudo ./install.sh --uninstall | --purge

Installs the agent from the checkout that this script lies in, or upgrades it. It may be run again at any time.

  --from PATH     take linkpulse from PATH: a checkout, a wheel, or a folder of wheels (then no network is used)
  --config FILE   install this agent.toml, the one that `linkview gateways add` wrote; the old one is kept as .old
  --certs DIR     install the certificates and the key that lie in this folder
  --with-aws      install the AWS IoT client too (publisher = "awsiotsdk"); not for 32-bit Arm
  --with-path     install what the probes path and neighbour need too (scapy)
  --no-start      neither enable nor start the service
  --root DIR      install into the file tree at DIR (an image, a test); needs no root, starts nothing
  --uninstall     remove the agent, keep its config, its identity and what is not sent yet
  --purge         remove all of these too
  --help          say this

PYTHON=PATH chooses the interpreter (3.11 to 3.13; python3 by default).
END
}

die() { # [exit code] message
    code=1
    case $1 in [0-9] | [0-9][0-9]) code=$1 && shift ;; esac
    echo "install.sh: $*" >&2
    exit "$code"
}

say() { echo "install.sh: $*"; }

options() {
    action=install from='' config='' certs='' extra='' start=yes root='' replaced=no
    while [ $# -gt 0 ]; do
        case $1 in
            --from | --config | --certs | --root)
                [ -n "${2-}" ] || die 2 "$1 needs a value; see --help"
                case $1 in
                    --from) from=$2 ;;
                    --config) config=$2 ;;
                    --certs) certs=$2 ;;
                    --root) root=$2 ;;
                esac
                shift
                ;;
            --with-aws) extra=${extra:+$extra,}aws ;;
            --with-path) extra=${extra:+$extra,}path ;;
            --no-start) start=no ;;
            --uninstall) action=uninstall ;;
            --purge) action=purge ;;
            --help | -h) usage && exit 0 ;;
            *) die 2 "unknown option $1; see --help" ;;
        esac
        shift
    done
}

layout() {
    here=$(cd "$(dirname "$0")" && pwd)
    if [ -n "$root" ]; then
        [ -d "$root" ] || die 2 "--root $root is not a folder"
        root=$(cd "$root" && pwd)
        [ "$root" != / ] || die 2 "--root / is this machine: leave --root out"
        start=no
    elif [ "$(id -u)" != 0 ]; then
        die "needs root: run it with sudo"
    fi
    home=$root/opt/edge-agent
    venv=$home/venv
    etc=$root/etc/edge-agent
    state=$root/var/lib/edge-agent
    unit=$root/etc/systemd/system/edge-agent.service
    sysusers=$root/etc/sysusers.d/edge-agent.conf
    tmpfiles=$root/etc/tmpfiles.d/edge-agent.conf
    command=$root/usr/local/bin/edge-agent
}

# --- checks, before anything is changed -----------------------------------------------------------

preflight() {
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null || die "$python is missing; install it with: apt-get install python3 python3-venv"
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
        die "$("$python" -V) is not 3.11 to 3.13; give another one with PYTHON=PATH"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "python's venv module is missing; install it with: apt-get install python3-venv"
    [ -n "$root" ] || visible || die "$python lies in a home folder, which the service cannot see; use the system's python3"
    [ "$start" = no ] || running_systemd || die "systemd does not run here; install without starting with --no-start"
    [ -z "$config" ] || [ -r "$config" ] || die "--config $config cannot be read"
    [ -z "$certs" ] || has_pem "$certs" || die "--certs $certs holds no PEM file (certificates and a private key)"
    find_source
}

visible() {
    case $("$python" -c 'import sys; print(sys.base_prefix)') in /home/* | /root/*) return 1 ;; esac
}

running_systemd() { [ -d /run/systemd/system ]; }

has_pem() { [ -d "$1" ] && grep -qs '^-----BEGIN ' "$1"/*; }

find_source() {
    if [ -z "$from" ]; then
        from=$here
        [ ! -f "$here/../pyproject.toml" ] || from=$here/..
    fi
    wheel='' wheels=''
    case $from in
        *.whl) wheel=$from ;;
        *)
            [ ! -f "$from/pyproject.toml" ] || return 0
            wheels=$from
            for wheel in "$from"/linkpulse-*.whl; do :; done # the last one is the newest
            ;;
    esac
    [ -f "$wheel" ] || die "no linkpulse in $from; give a checkout, a wheel or a folder of wheels with --from"
}

# --- steps ----------------------------------------------------------------------------------------

# Runs a step with its output in a file; when it fails, its own last word on the matter is the reason.
step() { # what, command...
    what=$1 && shift
    "$@" >"$work/log" 2>&1 && return
    reason=$(grep -iE '^ *(error|e:)' "$work/log" | tail -n 1)
    die "$what failed: ${reason:-$(tail -n 1 "$work/log")}"
}

own() { # owner, path... (a tree that is only staged gets its owners from tmpfiles.d at boot)
    [ -n "$root" ] || chown "$@"
}

place() { # mode, source, target
    mkdir -p "$(dirname "$3")"
    install -m "$1" "$2" "$3"
}

make_environment() {
    same='import sys; print(sys.version_info[:2], sys.base_prefix)'
    [ "$("$venv/bin/python" -c "$same" 2>/dev/null)" = "$("$python" -c "$same")" ] || rm -rf "$venv"
    set -- "$venv"
    if pip --version >/dev/null 2>&1; then set -- --without-pip "$@"; fi
    # 32-bit Arm has no psutil wheel; Debian's package serves instead.
    if "$python" -c 'import psutil' 2>/dev/null; then set -- --system-site-packages "$@"; fi
    mkdir -p "$home"
    step "making $venv" "$python" -m venv "$@"
}

pip() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip "$@"
}

install_package() {
    if [ -z "$wheel" ]; then
        # From a copy: a build in the checkout would leave its own build folder there and use an old one.
        mkdir "$work/source"
        for part in pyproject.toml README.md LICENSE edge_agent cloud simulator infrastructure; do
            cp -R "$from/$part" "$work/source/"
        done
        step "building linkpulse" pip wheel --no-deps --wheel-dir "$work" "$work/source"
        for wheel in "$work"/linkpulse-*.whl; do :; done
    fi
    set -- "$wheel${extra:+[$extra]}"
    [ -z "$wheels" ] || set -- --no-index --find-links "$wheels" "$@"
    # Twice: the same version from newer source must replace what is there, its dependencies must not.
    step "installing linkpulse" pip install --no-deps --force-reinstall "$wheel"
    step "installing what linkpulse needs" pip install "$@"
    [ -z "$root" ] || unstage
    mkdir -p "$(dirname "$command")"
    ln -sf /opt/edge-agent/venv/bin/edge-agent "$command"
}

# Scripts of the environment name the folder that they were made in.
unstage() {
    for script in "$venv"/bin/*; do
        [ -L "$script" ] || sed -i "s|$root/opt/edge-agent|/opt/edge-agent|g" "$script"
    done
}

make_user() {
    place 644 "$here/edge-agent.sysusers" "$sysusers"
    place 644 "$here/edge-agent.tmpfiles" "$tmpfiles"
    [ -z "$root" ] || return 0
    if getent passwd edge-agent >/dev/null; then return; fi
    if command -v systemd-sysusers >/dev/null; then
        step "making the user edge-agent" systemd-sysusers "$sysusers"
    else
        step "making the user edge-agent" useradd --system --user-group --no-create-home \
            --home-dir /var/lib/edge-agent --shell /usr/sbin/nologin edge-agent
    fi
}

make_folders() {
    mkdir -p "$etc" "$state"
    chmod 755 "$etc"
    chmod 700 "$state"
    own -R edge-agent:edge-agent "$state"
}

put_config() {
    target=$etc/agent.toml
    if [ -n "$config" ]; then
        if [ -f "$target" ] && ! cmp -s "$config" "$target"; then
            # The sample is nothing to go back to.
            cmp -s "$here/agent.toml" "$target" || replaced=yes
            cp -p "$target" "$target.old"
        fi
        place 644 "$config" "$target"
    elif [ ! -f "$target" ]; then
        place 644 "$here/agent.toml" "$target"
    fi
}

# Beside the config, which names them without a folder.
put_certs() {
    [ -n "$certs" ] || return 0
    for file in "$certs"/*; do
        grep -qs '^-----BEGIN ' "$file" || continue
        target=$etc/$(basename "$file")
        if grep -q 'PRIVATE KEY' "$file"; then
            place 600 "$file" "$target"
            own edge-agent:edge-agent "$target"
        else
            place 644 "$file" "$target"
        fi
    done
}

put_unit() {
    place 644 "$here/edge-agent.service" "$unit"
    if [ -z "$root" ] && running_systemd; then step "reloading systemd" systemctl daemon-reload; fi
}

# --- check, start, next ---------------------------------------------------------------------------

is_sample() { cmp -s "$here/agent.toml" "$etc/agent.toml"; }

# As the service would read it: with its user, and with the variables of /etc/default/edge-agent.
check() {
    set -- "$venv/bin/python" -m edge_agent check "$etc/agent.toml"
    [ -n "$root" ] || set -- runuser -u edge-agent -- "$@"
    (
        cd /
        defaults
        exec "$@"
    )
}

# The settings of /etc/default/edge-agent, read and never run: systemd reads KEY=VALUE there, and so does this.
defaults() {
    [ -r "$root/etc/default/edge-agent" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line#"${line%%[![:space:]]*}"} line=${line%"${line##*[![:space:]]}"}
        name=${line%%=*} value=${line#*=}
        case $name in EDGE_AGENT_* | *_proxy | *_PROXY) ;; *) continue ;; esac
        case $name in *[!A-Za-z0-9_]*) continue ;; esac
        case $value in
            \"*\") value=${value#\"} value=${value%\"} ;;
            \'*\') value=${value#\'} value=${value%\'} ;;
        esac
        export "$name=$value"
    done <"$root/etc/default/edge-agent"
}

start() {
    if [ "$start" = no ]; then
        say "installed, not started; start it with: systemctl enable --now edge-agent"
        return
    fi
    step "enabling edge-agent" systemctl enable edge-agent
    systemctl restart edge-agent >"$work/log" 2>&1 ||
        die "edge-agent is installed but did not start; see: journalctl -u edge-agent -n 20"
    say "edge-agent runs; follow it with: journalctl -u edge-agent -f"
}

not_enrolled() {
    say "installed, not started: $etc/agent.toml is still the sample"
    cat <<'END'
Next:
  1. where you have access to the cloud:  linkview gateways add NAME
  2. copy the folder that it writes to this gateway
  3. here:  sudo ./install.sh --config FOLDER/agent.toml --certs FOLDER
END
}

install_agent() {
    preflight
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' HUP INT TERM
    make_environment
    install_package
    make_user
    make_folders
    put_config
    put_certs
    put_unit
    if check >"$work/check" 2>&1; then
        start
    elif is_sample; then
        not_enrolled
    else
        cat "$work/check" >&2
        if [ "$replaced" = yes ]; then
            mv "$etc/agent.toml" "$etc/agent.toml.refused"
            mv "$etc/agent.toml.old" "$etc/agent.toml"
            die 78 "the config before it is back; this one lies in $etc/agent.toml.refused: mend it and run this again"
        fi
        die 78 "installed, not started: mend what is named above, then run this again"
    fi
}

# --- removal --------------------------------------------------------------------------------------

uninstall() {
    if [ -z "$root" ] && running_systemd && [ -f "$unit" ]; then
        systemctl disable --now edge-agent >/dev/null 2>&1 ||
            die "edge-agent could not be stopped; see: systemctl status edge-agent"
        systemctl reset-failed edge-agent 2>/dev/null || : # it had not failed
    fi
    rm -f "$unit" "$sysusers" "$tmpfiles" "$command"
    rm -rf "$home"
    if [ -z "$root" ] && running_systemd; then systemctl daemon-reload; fi
}

purge() {
    uninstall
    rm -rf "$etc" "$state"
    rm -f "$root/etc/default/edge-agent"
    if [ -z "$root" ] && getent passwd edge-agent >/dev/null; then userdel edge-agent; fi
}

main() {
    options "$@"
    layout
    case $action in
        install) install_agent ;;
        uninstall)
            uninstall
            say "removed; kept: $etc (config, identity) and $state (readings not sent yet); --purge removes them"
            ;;
        purge)
            purge
            say "removed, with its config, identity and readings"
            ;;
    esac
}

main "$@"
