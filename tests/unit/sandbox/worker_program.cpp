// The program the unit tests execute as the worker: slipway's own main() does the same.
#include "sandbox/worker.h"

int main(int argc, char** argv) {
  return slipway::sandbox::worker_main(argc, argv);
}
