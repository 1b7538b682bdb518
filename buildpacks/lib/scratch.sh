# shellcheck shell=bash
# The folder for temporary files of one build, shared by its buildpacks and never kept. Its name comes
# from BUILD_DIR, because /tmp may be shared where the builder has no namespaces.

# shellcheck disable=SC2034  # the other modules use it
readonly SCRATCH="/tmp/.scratch-${BUILD_DIR##*/}"
mkdir -p "$SCRATCH"
