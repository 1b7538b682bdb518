#include "fetch/fetcher.h"

int main(int argc, char** argv) {
  return slipway::fetch::fetch_main(argc, argv);
}
