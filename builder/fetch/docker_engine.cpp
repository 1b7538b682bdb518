#include "fetch/docker_engine.h"

#include <cerrno>
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
  std::exception_ptr failure;
  bool reader_gone = false;
  std::thread writer([&, out = std::move(pipe.write)] {
    errno = 0;
    try {
      write(out.get());
    } catch (...) {
      // The engine refused it halfway: its own words say why.
      reader_gone = errno == EPIPE;
      failure = std::current_exception();
    }
  });
  std::exception_ptr refusal;
  try {
    Json request = {{"op", "engine_load"}, {"socket", socket}, {"body", pipe.read.get()}};
    Call call(fetcher);
    (void)call.run(std::move(request), {pipe.read.get()});
  } catch (...) {
    refusal = std::current_exception();
  }
  pipe.read.reset();
  writer.join();
  if (failure && !(refusal && reader_gone)) std::rethrow_exception(failure);
  if (refusal) std::rethrow_exception(refusal);
}

}  // namespace slipway::fetch
