# shellcheck shell=sh
# Finding and installing what Leat needs to be built and tested: read by tools/quickstart and tests/run, not
# run by itself. Installs only what is missing, says so first, and uses sudo only then.

# root_run COMMAND...: as root, by whatever way there is.
root_run() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    elif command -v doas >/dev/null 2>&1; then
        doas "$@"
    else
        echo "This needs root, and there is no sudo here. Run as root:  $*" >&2
        return 1
    fi
}

package_manager() {
    for manager in apt-get dnf pacman zypper apk brew; do
        if command -v "$manager" >/dev/null 2>&1; then
            echo "$manager"
            return
        fi
    done
    echo none
}

# install_packages WHY PACKAGE...
install_packages() {
    why=$1
    shift
    echo "Installing $* ($why) with $(package_manager)$([ "$(package_manager)" = brew ] || [ "$(id -u)" -eq 0 ] || echo ', as root')"
    case $(package_manager) in
    apt-get) root_run env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        root_run env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null ;;
    dnf) root_run dnf -q -y install "$@" ;;
    pacman) root_run pacman -Sy --needed --noconfirm "$@" ;;
    zypper) root_run zypper --quiet --non-interactive install "$@" ;;
    apk) root_run apk add --quiet "$@" ;;
    brew) brew install --quiet "$@" ;;
    esac
}

# A compiler, Meson 1.0 or later, ninja. False with a message if one can't be had.
need_build_tools() {
    manager=$(package_manager)
    missing=
    if ! command -v cc >/dev/null 2>&1 && ! command -v gcc >/dev/null 2>&1 && ! command -v clang >/dev/null 2>&1; then
        case $manager in
        apt-get) missing="gcc libc6-dev" ;;
        apk) missing="gcc musl-dev" ;;
        brew)
            echo "There is no C compiler. On macOS:  xcode-select --install  and then this again." >&2
            return 1
            ;;
        *) missing=gcc ;;
        esac
    fi
    command -v meson >/dev/null 2>&1 || missing="$missing meson"
    if ! command -v ninja >/dev/null 2>&1 && ! command -v ninja-build >/dev/null 2>&1; then
        case $manager in
        apt-get | dnf) missing="$missing ninja-build" ;;
        apk) missing="$missing samurai" ;;
        *) missing="$missing ninja" ;;
        esac
    fi
    if [ -n "$missing" ]; then
        if [ "$manager" = none ]; then
            echo "Missing:$missing. I don't know this system's package manager: please install them, then run this again." >&2
            return 1
        fi
        # shellcheck disable=SC2086 # words are wanted
        install_packages "to build Leat" $missing || return 1
    fi
    case $(meson --version) in
    0.*)
        echo "Meson $(meson --version) is too old; Leat needs 1.0 or later:  pip install --user meson" >&2
        return 1
        ;;
    esac
}

have_criterion() {
    command -v pkg-config >/dev/null 2>&1 && pkg-config --exists criterion
}

# Criterion, the test framework, and pkg-config to find it.
need_criterion() {
    case $(package_manager) in
    apt-get) install_packages "to run the tests" libcriterion-dev pkg-config ;;
    dnf) install_packages "to run the tests" criterion-devel pkgconf-pkg-config || install_packages "to run the tests" criterion pkgconf-pkg-config ;;
    brew) install_packages "to run the tests" criterion pkg-config ;;
    apk) install_packages "to run the tests" criterion-dev pkgconf ;;
    *)
        echo "I don't know how to install Criterion here; see https://github.com/Snaipe/Criterion" >&2
        return 1
        ;;
    esac && have_criterion
}

have_libedit() {
    command -v pkg-config >/dev/null 2>&1 && pkg-config --exists libedit
}

# libedit, with which lines can be edited and recalled in `leat chat`. Leat does without where it is missing.
want_libedit() {
    have_libedit && return
    why="to edit lines in leat chat"
    case $(package_manager) in
    apt-get) install_packages "$why" libedit-dev pkg-config ;;
    zypper) install_packages "$why" libedit-devel pkg-config ;;
    dnf) install_packages "$why" libedit-devel pkgconf-pkg-config ;;
    apk) install_packages "$why" libedit-dev pkgconf ;;
    pacman) install_packages "$why" libedit pkgconf ;;
    brew) install_packages "$why" libedit pkg-config ;;
    *) false ;;
    esac || echo "Going on without libedit: lines in leat chat can then be typed, but hardly edited."
}
