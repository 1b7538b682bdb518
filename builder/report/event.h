// The event stream: everything a build tells, once and typed. The engine, the drivers and the
// executors emit; views (terminal, plain, Heroku transcript, JSON lines, HTML) only read. `report`
// knows nothing but these types.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace slipway::report {

using StepId = uint64_t;  ///< numbers the ops of one build, from 1; 0 = the build itself

struct BuildStarted {
  std::string id, app, strategy, strategy_reason, stack;
};
/// One line of the builder's own talk in Heroku's style, without newline.
struct Notice {
  enum class Level {
    step /* "-----> x" */,
    detail /* 7 spaces */,
    plain,
    warning,
    error /* " !     x" */
  };
  Level level = Level::detail;
  std::string text;
};
/// Bytes a step wrote, exactly as they came; stdout and stderr in order.
struct Output {
  StepId step = 0;
  std::string data;
};
struct StepStarted {
  StepId step = 0;
  std::string title;
};
struct StepFinished {
  StepId step = 0;
  std::string title;
  enum class Outcome { ran, cached, failed, canceled } outcome = Outcome::ran;
  std::chrono::milliseconds duration{0};
  /// The first input that made it miss, empty when never seen before. Of a cached step: what has
  /// changed without counting (a secret's value), mostly empty.
  std::string missed_because;
  std::string error;
};
/// Progress of something with a known or unknown size; total_bytes 0 = unknown.
struct Progress {
  StepId step = 0;
  std::string what;  ///< "compressing", "unpacking stack debian-12"
  uint64_t done_bytes = 0, total_bytes = 0;
  bool finished = false;
};
struct BuildFinished {
  bool ok = false;
  int exit_code = 0;
  std::string error;
  std::string hint;
  std::chrono::milliseconds duration{0};
  int steps_total = 0, steps_cached = 0;
  uint64_t artifact_size = 0;
  std::string next_command;  ///< what to type next
};

using Event =
    std::variant<BuildStarted, Notice, Output, StepStarted, StepFinished, Progress, BuildFinished>;

/// Reads events. Called from one thread at a time.
class View {
 public:
  virtual ~View() = default;
  virtual void on_event(const Event& event) = 0;
  /// About five times a second while a build runs, for live displays.
  virtual void on_tick() {}
};

/// Hands each event to every view, in order; thread-safe. Secret values registered here are masked
/// in Output and Notice before any view sees them, also when a value is split between two pieces.
class Stream {
 public:
  Stream();
  ~Stream();
  void add_view(std::shared_ptr<View> view);
  /// Masks the value with "[redacted]". Values under 8 bytes are ignored; returns whether masked.
  bool mask(const std::string& value);
  /// The text with every registered value masked.
  std::string masked(const std::string& text) const;
  void emit(Event event);
  void tick();

  void step(std::string text) { emit(Notice{Notice::Level::step, std::move(text)}); }
  void detail(std::string text) { emit(Notice{Notice::Level::detail, std::move(text)}); }
  void plain(std::string text) { emit(Notice{Notice::Level::plain, std::move(text)}); }
  void warning(std::string text) { emit(Notice{Notice::Level::warning, std::move(text)}); }
  void error(std::string text) { emit(Notice{Notice::Level::error, std::move(text)}); }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace slipway::report
