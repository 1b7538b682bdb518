#include "report/format.h"

#include "base/text.h"

namespace slipway::report {

std::string notice_text(const Notice& notice) {
  const char* prefix = "";
  switch (notice.level) {
    case Notice::Level::step:
      prefix = "-----> ";
      break;
    case Notice::Level::detail:
      prefix = "       ";
      break;
    case Notice::Level::plain:
      break;
    case Notice::Level::warning:
    case Notice::Level::error:
      prefix = " !     ";
      break;
  }
  if (notice.text.empty()) return {};
  std::vector<std::string> lines = split(notice.text, '\n');
  for (std::string& line : lines)
    if (!line.empty()) line.insert(0, prefix);
  return join(lines, "\n");
}

std::string started_line(const BuildStarted& started) {
  std::string how = "from " + started.strategy;
  if (started.strategy == "buildpack") how = "with buildpacks";
  if (started.strategy == "dockerfile") how = "from a Dockerfile";
  return fmt::format("Building {} {}: {}", started.app, how, started.strategy_reason);
}

std::string step_line(const StepFinished& step) {
  // Dockerfile steps carry their own number: "[build 2/4] RUN make".
  std::string text = starts_with(step.title, "[") ? step.title + ": "
                                                  : fmt::format("[{}] {}: ", step.step, step.title);
  switch (step.outcome) {
    case StepFinished::Outcome::ran:
      return text + format_duration(step.duration);
    case StepFinished::Outcome::cached:
      return text + "cached";
    case StepFinished::Outcome::canceled:
      return text + "canceled";
    case StepFinished::Outcome::failed:
      break;
  }
  text += "failed after " + format_duration(step.duration);
  if (!step.error.empty()) text += ": " + step.error;
  return text;
}

std::optional<std::string> explain_line(const StepFinished& step) {
  if (step.outcome == StepFinished::Outcome::canceled) return std::nullopt;
  if (step.outcome == StepFinished::Outcome::cached) {
    if (step.missed_because.empty()) return std::nullopt;
    return "    although " + step.missed_because;
  }
  if (step.missed_because.empty()) return "    ran for the first time";
  return "    ran because " + step.missed_because;
}

std::string progress_bytes(const Progress& progress) {
  if (progress.done_bytes == 0) return {};
  if (progress.total_bytes == 0 || progress.done_bytes >= progress.total_bytes)
    return format_size(progress.done_bytes);
  return format_size(progress.done_bytes) + " of " + format_size(progress.total_bytes);
}

std::vector<std::string> closing_lines(const BuildFinished& finished) {
  const std::string time = format_duration(finished.duration);
  if (!finished.ok)
    return {(finished.exit_code == 130 ? "Interrupted after " : "Failed after ") + time};
  std::string line = "Built ";
  if (finished.artifact_size > 0) line += format_size(finished.artifact_size) + " ";
  line += "in " + time;
  if (finished.steps_total > 0)
    line +=
        finished.steps_cached == finished.steps_total
            ? ", everything cached"
            : fmt::format(", {} of {} steps cached", finished.steps_cached, finished.steps_total);
  std::vector<std::string> lines{line};
  if (!finished.next_command.empty()) lines.push_back("Next: " + finished.next_command);
  return lines;
}

}  // namespace slipway::report
