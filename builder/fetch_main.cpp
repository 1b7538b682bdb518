#include "fetch/fetcher.h"
#include "netfetch/serve.h"
#include "record/seed.h"
#include "record/serve.h"

int main(int argc, char** argv) {
  slipway::netfetch::add_operation("record", slipway::record::serve);
  slipway::netfetch::add_operation("record_seed", slipway::record::seed);
  return slipway::fetch::fetch_main(argc, argv);
}
