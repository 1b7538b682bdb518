// One JSON object per line. The schema is docs/events.md; fields are added, never renamed.
#include <ctime>

#include "base/json.h"
#include "report/encode.h"
#include "report/sink.h"
#include "report/views.h"

namespace slipway::report {
namespace {

const char* level_name(Notice::Level level) {
  switch (level) {
    case Notice::Level::step:
      return "step";
    case Notice::Level::detail:
      return "detail";
    case Notice::Level::plain:
      return "plain";
    case Notice::Level::warning:
      return "warning";
    case Notice::Level::error:
      break;
  }
  return "error";
}

const char* outcome_name(StepFinished::Outcome outcome) {
  switch (outcome) {
    case StepFinished::Outcome::ran:
      return "ran";
    case StepFinished::Outcome::cached:
      return "cached";
    case StepFinished::Outcome::failed:
      return "failed";
    case StepFinished::Outcome::canceled:
      break;
  }
  return "canceled";
}

/// RFC 3339 in UTC with milliseconds.
std::string time_text(int64_t time_ms) {
  const auto seconds = static_cast<std::time_t>(time_ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", text, time_ms % 1000);
}

void put_if(Json& json, const char* key, const std::string& value) {
  if (!value.empty()) json[key] = value;
}

class JsonView : public View {
 public:
  JsonView(int fd, WallClock clock) : sink_(fd), clock_(std::move(clock)) {}

  void on_event(const Event& event) override {
    std::visit([&](const auto& kind) { write(kind); }, event);
  }

 private:
  void put(const char* type, Json fields) {
    fields["type"] = type;
    fields["time"] = time_text(clock_());
    sink_.write(dump_json(fields) + "\n");
  }

  void write(const BuildStarted& event) {
    put("build_started", {{"version", 1},
                          {"build", event.id},
                          {"app", event.app},
                          {"strategy", event.strategy},
                          {"reason", event.strategy_reason},
                          {"stack", event.stack}});
  }

  void write(const Notice& event) {
    put("notice", {{"level", level_name(event.level)}, {"text", event.text}});
  }

  void write(const Output& event) {
    std::string data = std::move(tails_[event.step]) + event.data;
    // A character cut by a pipe's buffer is text once its rest is there.
    const size_t tail = incomplete_utf8_tail(data);
    tails_[event.step] = data.substr(data.size() - tail);
    data.resize(data.size() - tail);
    put_output(event.step, data);
  }

  void put_output(StepId step, const std::string& data) {
    if (data.empty()) return;
    if (is_utf8(data))
      put("output", {{"step", step}, {"text", data}});
    else
      put("output", {{"step", step}, {"base64", base64(data)}});
  }

  void write(const StepStarted& event) {
    put("step_started", {{"step", event.step}, {"title", event.title}});
  }

  void write(const StepFinished& event) {
    flush(event.step);
    Json json{{"step", event.step},
              {"title", event.title},
              {"outcome", outcome_name(event.outcome)},
              {"duration_ms", event.duration.count()}};
    put_if(json, "missed_because", event.missed_because);
    put_if(json, "error", event.error);
    put("step_finished", json);
  }

  void write(const Progress& event) {
    Json json{{"step", event.step},
              {"what", event.what},
              {"done_bytes", event.done_bytes},
              {"finished", event.finished}};
    if (event.total_bytes > 0) json["total_bytes"] = event.total_bytes;
    put("progress", json);
  }

  void write(const BuildFinished& event) {
    while (!tails_.empty()) flush(tails_.begin()->first);
    Json json{{"ok", event.ok},
              {"exit_code", event.exit_code},
              {"duration_ms", event.duration.count()},
              {"steps_total", event.steps_total},
              {"steps_cached", event.steps_cached},
              {"artifact_size", event.artifact_size}};
    put_if(json, "error", event.error);
    put_if(json, "hint", event.hint);
    put_if(json, "next_command", event.next_command);
    put("build_finished", json);
  }

  void flush(StepId step) {
    const auto tail = tails_.find(step);
    if (tail == tails_.end()) return;
    const std::string data = std::move(tail->second);
    tails_.erase(tail);
    put_output(step, data);
  }

  Sink sink_;
  WallClock clock_;
  std::map<StepId, std::string> tails_;
};

}  // namespace

std::shared_ptr<View> make_json_view(int fd, WallClock clock) {
  return std::make_shared<JsonView>(fd, std::move(clock));
}

int64_t wall_now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace slipway::report
