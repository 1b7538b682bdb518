#include "fetch/docker_engine.h"

#include <atomic>
#include <exception>
#include <thread>

#include "base/error.h"
#include "fetch/call.h"

namespace slipway::fetch {

std::vector<EngineHas> ask_engine(const Fetcher& fetcher, const std::string& socket,
                                  const std::vector<EngineImage>& images) {
  Json list = Json::array();
  for (const EngineImage& image : images)
    list.push_back({{"id", image.id}, {"diff_ids", image.diff_ids}, {"names", image.names}});
  const Json result =
      Call(fetcher).run({{"op", "engine_ask"}, {"socket", socket}, {"images", list}}, {});
  const Json rows = field<Json>(result, "images");
  std::vector<EngineHas> answers;
  for (const Json& row : rows)
    answers.push_back({field<bool>(row, "image"), field<size_t>(row, "layers")});
  if (answers.size() != images.size()) fail(ExitCode::machine, "slipway-fetch answers oddly");
  return answers;
}

void load_into_engine(const Fetcher& fetcher, const std::string& socket,
                      const std::function<void(int out)>& write) {
  Pipe pipe = Pipe::create();
  std::exception_ptr failure, refusal;
  std::atomic<bool> refused = false;
  std::thread writer([&, out = std::move(pipe.write)] {
    try {
      write(out.get());
    } catch (...) {
      // Afterwards it fails because nobody reads any more: the engine's own words say why.
      if (!refused) failure = std::current_exception();
    }
  });
  try {
    Json request = {{"op", "engine_load"}, {"socket", socket}, {"body", pipe.read.get()}};
    Call call(fetcher);
    (void)call.run(std::move(request), {pipe.read.get()});
  } catch (...) {
    refusal = std::current_exception();
    refused = true;
  }
  // Until here the pipe had a reader, whatever became of slipway-fetch.
  pipe.read.reset();
  writer.join();
  if (failure) std::rethrow_exception(failure);
  if (refusal) std::rethrow_exception(refusal);
}

}  // namespace slipway::fetch
