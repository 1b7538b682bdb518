#include <string_view>

#include "cli/command.h"
#include "sandbox/worker.h"

int main(int argc, char** argv) {
  // The sandbox's worker is this program again, started from its own open file.
  if (argc > 1 && std::string_view(argv[1]) == "__worker")
    return slipway::sandbox::worker_main(argc, argv);
  return slipway::cli::run_program(argc, argv);
}
