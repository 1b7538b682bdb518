// What a build leaves behind: its row and log in the store, its output files, a store within its
// limit.
#pragma once

#include <memory>
#include <string>

#include "build/request.h"
#include "engine/engine.h"

namespace slipway::build {

/// One build's row and full log. Written when it starts, so that a killed build is seen as such.
class BuildRecorder {
 public:
  BuildRecorder(cache::Store& store, report::Stream& stream);
  void start(const std::string& app, const std::string& app_id);
  const std::string& id() const { return record_.id; }
  /// Emits BuildFinished and stores the row.
  void finish(const std::string& status, const Error& error, report::BuildFinished finished);
  void finish_ok(const report::BuildFinished& finished, const BuildOutcome& outcome);

 private:
  cache::Store& store_;
  report::Stream& stream_;
  cache::BuildRecord record_;
  std::chrono::steady_clock::time_point started_;
};

/// The slug's file, complete or not at all.
void write_slug_file(cache::Store& store, const BuildRequest& request, const BuildOutcome& outcome);

/// "slipway run /tmp/app.tgz web"
std::string next_command(const BuildRequest& request, const BuildOutcome& outcome);

/// gc to the store's limit and removal of directories nobody needs.
void tidy_store(cache::Store& store, engine::Engine& engine);

}  // namespace slipway::build
