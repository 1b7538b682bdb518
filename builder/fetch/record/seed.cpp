#include "record/seed.h"

#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "record/message.h"

namespace slipway::record {
namespace {

constexpr size_t block_bytes = 256 << 10;

}  // namespace

Json seed(const Json& request, const std::function<void(const Json&)>&) {
  const std::string given = request.at("url");
  Request asked;
  asked.method = "GET";
  asked.url = web_url(given);
  if (asked.url.empty())
    fail(ExitCode::usage, "'{}' is no address of the web", printable(shown_url(given)));
  const auto store = cache::Store::open(request.at("store").get<std::string>());
  cache::Downloads downloads(*store);
  cache::BlobWriter blob = store->write_blob();
  std::string block(block_bytes, '\0');
  uint64_t size = 0;
  while (const size_t count =
             read_some(request.at("file").get<int>(), block.data(), block.size())) {
    blob.write(block.data(), count);
    size += count;
  }
  std::vector<cache::Finished> batch(1);
  cache::Download& download = batch[0].download;
  download.sha256 = blob.commit(request.at("sha256").get<std::string>());
  download.size_bytes = size;
  download.key = downloads.key(text_of_key(asked));
  download.status = 200;
  download.headers = {{"content-type", "application/octet-stream"}};
  download.url = shown_url(asked.url);
  download.requester = "vendor add";
  download.pinned = true;
  return {{"id", downloads.publish(batch).at(0)},
          {"sha256", download.sha256},
          {"size_bytes", size},
          {"url", download.url}};
}

}  // namespace slipway::record
