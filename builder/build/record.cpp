#include "build/record.h"

#include <unistd.h>

#include <ctime>

#include "base/digest.h"
#include "base/files.h"
#include "base/text.h"
#include "report/views.h"

namespace slipway::build {
namespace {

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string new_build_id() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
  return fmt::format("{}-{}", text, to_hex(random_bytes(3)));
}

}  // namespace

BuildRecorder::BuildRecorder(cache::Store& store, report::Stream& stream)
    : store_(store), stream_(stream), started_(std::chrono::steady_clock::now()) {
  record_.id = new_build_id();
  record_.status = "running";
}

void BuildRecorder::start(const std::string& app, const std::string& app_id) {
  record_.app = app_id;
  record_.started_ms = now_ms();
  record_.detail = {{"app", app}};
  store_.put_build(record_);
  stream_.add_view(report::make_log_view(store_.log_path(record_.id)));
}

void BuildRecorder::finish(const std::string& status, const Error& error,
                           report::BuildFinished finished) {
  finished.ok = false;
  finished.exit_code = static_cast<int>(error.code());
  finished.error = error.what();
  finished.hint = error.hint();
  finished.duration = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - started_);
  stream_.emit(finished);
  if (record_.app.empty()) return;  // it never began
  record_.status = status;
  record_.finished_ms = now_ms();
  record_.detail["error"] = finished.error;
  record_.detail["exit_code"] = finished.exit_code;
  store_.put_build(record_);
}

void BuildRecorder::finish_ok(const report::BuildFinished& finished, const BuildOutcome& outcome) {
  record_.status = "succeeded";
  record_.finished_ms = now_ms();
  record_.detail["manifest"] = outcome.manifest.to_json();
  record_.detail["artifact"] = outcome.artifact.id.hex();
  record_.detail["cached"] = outcome.cached;
  store_.put_build(record_);
  stream_.emit(finished);
}

void write_slug_file(cache::Store& store, const BuildRequest& request,
                     const BuildOutcome& outcome) {
  if (request.slug && *request.slug == "-") {
    store.write_artifact(outcome.artifact, STDOUT_FILENO);
  } else if (request.slug) {
    try {
      AtomicFile file(*request.slug);
      store.write_artifact(outcome.artifact, file.fd());
      file.commit();
    } catch (Error& error) {
      throw error.add_context("writing the slug to " + request.slug->string())
          .set_hint("--slug names a file in a folder that exists and can be written");
    }
  }
}

std::string next_command(const BuildRequest& request, const BuildOutcome& outcome) {
  std::string command = "slipway run ";
  command +=
      request.slug && *request.slug != "-" ? shell_quote(request.slug->string()) : outcome.app;
  if (outcome.manifest.process_types.contains("web"))
    command += " web";
  else if (!outcome.manifest.process_types.empty())
    command += " " + outcome.manifest.process_types.begin()->first;
  return command;
}

void tidy_store(cache::Store& store, engine::Engine& engine) {
  // A build that ran nothing added nothing: it neither looks for garbage nor starts a process.
  if (!engine.worker_started()) return;
  (void)store.collect(store.limit_bytes());
  engine.sweep();
}

}  // namespace slipway::build
