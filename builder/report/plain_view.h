// The text that plain, log and terminal views have in common.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "report/sink.h"
#include "report/views.h"

namespace slipway::report {

struct PlainOptions {
  bool explain = false;
  bool errors = false;  ///< error and hint at the end (the log; else the command layer tells them)
  bool keepalive = true;  ///< a line each minute of silence, so that CI does not give up on us
  bool all_steps = true;  ///< else only failed ones and those that took a second
  bool progress = true;   ///< a line when something long begins, goes on and ends
  Clock clock = steady_now;
};

class PlainView : public View {
 public:
  PlainView(Sink sink, PlainOptions options);
  void on_event(const Event& event) override;
  void on_tick() override;

 protected:
  virtual void on_output(const Output& output);
  Sink& sink() { return sink_; }
  std::chrono::steady_clock::time_point now() const { return options_.clock(); }

  struct Running {
    std::string title;
    std::chrono::steady_clock::time_point since;
  };
  /// Steps that were started and not finished, and what makes progress, oldest first.
  const std::map<StepId, Running>& running() const { return running_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Moving {
    Progress last;
    Time since, told;
    bool announced = false;
  };

  void take_floor(StepId step);
  void leave_floor(StepId step);
  void on_finished(const StepFinished& step);
  void on_progress(const Progress& progress);
  void tell(const std::string& line);

  Sink sink_;
  PlainOptions options_;
  Time started_, last_written_;
  std::map<StepId, Running> running_;
  /// The step whose output is being printed; output of others waits in held_.
  StepId floor_ = 0;
  std::map<StepId, std::string> held_;
  std::map<std::pair<StepId, std::string>, Moving> moving_;
};

}  // namespace slipway::report
