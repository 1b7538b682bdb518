// One run of slipway-fetch, from the request to its answer. Private to this folder.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/process.h"
#include "fetch/fetcher.h"

namespace slipway::fetch {

class Call {
 public:
  explicit Call(const Fetcher& fetcher) : fetcher_(fetcher) {}

  /// A message of the channel (wire.h) with its descriptors; what it throws ends the call.
  using OnMessage = std::function<void(const Json& message, std::vector<Fd> files)>;
  /// With it the request gets a "channel"; to be called before run().
  void open_channel(OnMessage on_message);
  /// Only inside on_message.
  void answer(const Json& message, int file);

  /// The result object; throws the error the program reports. `files` are kept open for it.
  Json run(Json request, std::vector<int> files);

 private:
  void start(const Json& request, std::vector<int> files);
  void take(Fd& from, std::string& into);
  void take_message();
  void understand(const std::string& line);

  const Fetcher& fetcher_;
  Child child_;
  Fd out_, err_, channel_, their_channel_;
  OnMessage on_message_;
  std::string complaint_;
  Json result_;
  std::optional<Error> error_;
};

/// A field of an answer; a missing one is the other program's mistake.
template <typename Value>
Value field(const Json& result, const char* name) {
  try {
    return result.at(name).get<Value>();
  } catch (const Json::exception& problem) {
    fail(ExitCode::machine, "slipway-fetch answers oddly: {}", problem.what());
  }
}

}  // namespace slipway::fetch
