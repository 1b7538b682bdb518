// Words that several views share, as pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/event.h"

namespace slipway::report {

/// A notice as the transcript prints it, one prefix per line, without the last newline:
/// "-----> x", "       x", " !     x" for warning and error, plain text as it is. An empty text
/// gives an empty line.
std::string notice_text(const Notice& notice);

/// "Building shop with buildpacks: neither heroku.yml nor a Dockerfile is there".
std::string started_line(const BuildStarted& started);

/// "[4] compile nodejs: 12.3 s", "…: cached", "…: failed after 3.0 s: why", "…: canceled".
std::string step_line(const StepFinished& step);
/// "    ran because GREETING changed" — empty for steps that did not run.
std::optional<std::string> explain_line(const StepFinished& step);
/// "2.1M of 35M", "2.1M", or nothing when no byte was counted.
std::string progress_bytes(const Progress& progress);

/// The last lines of a build: size, time, what was cached, what to type next; for a failed one how
/// long it took. The error itself is told by the command layer.
std::vector<std::string> closing_lines(const BuildFinished& finished);

}  // namespace slipway::report
