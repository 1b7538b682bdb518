#include "report/plain_view.h"

#include "base/text.h"
#include "report/format.h"

namespace slipway::report {
namespace {

using std::chrono::seconds;

// A waiting step that has printed this much takes the floor after all: memory is bounded.
constexpr size_t held_max_bytes = 8 << 20;
constexpr seconds progress_first{2}, progress_again{15}, silence_max{60};

std::chrono::milliseconds since(std::chrono::steady_clock::time_point begin,
                                std::chrono::steady_clock::time_point end) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(end - begin);
}

}  // namespace

PlainView::PlainView(Sink sink, PlainOptions options)
    : sink_(std::move(sink)), options_(std::move(options)), started_(now()), last_written_(now()) {}

void PlainView::tell(const std::string& line) {
  sink_.line(line);
  last_written_ = now();
}

void PlainView::on_output(const Output& output) {
  sink_.write(output.data);
  last_written_ = now();
}

void PlainView::on_event(const Event& event) {
  if (const auto* notice = std::get_if<Notice>(&event)) tell(notice_text(*notice));
  if (const auto* started = std::get_if<BuildStarted>(&event))
    if (!started->strategy.empty()) tell(started_line(*started));
  if (const auto* started = std::get_if<StepStarted>(&event))
    running_[started->step] = {started->title, now()};
  if (const auto* finished = std::get_if<StepFinished>(&event)) on_finished(*finished);
  if (const auto* progress = std::get_if<Progress>(&event)) on_progress(*progress);
  if (const auto* output = std::get_if<Output>(&event)) {
    // Step 0 is the builder itself: it waits for nobody.
    if (output->step != 0 && floor_ == 0) take_floor(output->step);
    if (output->step == 0 || output->step == floor_) {
      on_output(*output);
    } else {
      std::string& held = held_[output->step];
      held += output->data;
      if (held.size() > held_max_bytes) take_floor(output->step);
    }
  }
  if (const auto* finished = std::get_if<BuildFinished>(&event)) {
    while (!held_.empty()) take_floor(held_.begin()->first);
    for (const std::string& line : closing_lines(*finished)) tell(line);
    if (options_.errors && !finished->error.empty()) tell("error: " + finished->error);
    if (options_.errors && !finished->hint.empty()) tell("hint: " + finished->hint);
    running_.clear();
    moving_.clear();
  }
}

void PlainView::take_floor(StepId step) {
  const bool changes = floor_ != 0 && floor_ != step;
  floor_ = step;
  if (changes) sink_.fresh_line();
  const auto waiting = held_.find(step);
  if (waiting == held_.end()) return;
  const std::string text = std::move(waiting->second);
  held_.erase(waiting);
  sink_.fresh_line();
  on_output({step, text});
}

void PlainView::leave_floor(StepId step) {
  if (held_.contains(step)) {
    const StepId before = floor_;
    take_floor(step);
    floor_ = before;
  }
  if (floor_ != step) return;
  floor_ = 0;
  if (!held_.empty()) take_floor(held_.begin()->first);
}

void PlainView::on_finished(const StepFinished& step) {
  leave_floor(step.step);
  running_.erase(step.step);
  std::erase_if(moving_, [&](const auto& entry) { return entry.first.first == step.step; });
  const bool shown = options_.all_steps || options_.explain ||
                     step.outcome == StepFinished::Outcome::failed ||
                     (step.outcome == StepFinished::Outcome::ran && step.duration >= seconds(1));
  if (!shown) return;
  tell(step_line(step));
  const auto reason = explain_line(step);
  if (options_.explain && reason) tell(*reason);
}

void PlainView::on_progress(const Progress& progress) {
  const auto key = std::pair{progress.step, progress.what};
  const auto [entry, fresh] = moving_.try_emplace(key, Moving{progress, now(), now(), false});
  entry->second.last = progress;
  if (!progress.finished) return;
  const Moving moved = entry->second;
  moving_.erase(entry);
  const auto took = since(moved.since, now());
  if (!options_.progress || (took < progress_first && !moved.announced)) return;
  std::string line = fmt::format("       {}: done", progress.what);
  if (progress.done_bytes > 0) line += ", " + progress_bytes(progress);
  tell(line + ", " + format_duration(took));
}

void PlainView::on_tick() {
  if (!sink_.at_line_start()) return;  // never into the middle of somebody's line
  if (options_.progress) {
    for (auto& entry : moving_) {
      Moving& moving = entry.second;
      const auto pause = moving.announced ? progress_again : progress_first;
      if (now() - moving.told < pause) continue;
      moving.announced = true;
      moving.told = now();
      const std::string bytes = progress_bytes(moving.last);
      tell("       " + entry.first.second + (bytes.empty() ? " …" : ": " + bytes));
    }
  }
  if (!options_.keepalive || running_.empty() || now() - last_written_ < silence_max) return;
  const auto& [step, oldest] = *running_.begin();
  tell(fmt::format("[{}] {}: {} so far", step, oldest.title,
                   format_duration(since(oldest.since, now()))));
}

std::shared_ptr<View> make_plain_view(int fd, bool explain, Clock clock) {
  PlainOptions options;
  options.explain = explain;
  options.clock = std::move(clock);
  return std::make_shared<PlainView>(Sink(fd), options);
}

std::shared_ptr<View> make_log_view(const std::filesystem::path& path) {
  PlainOptions options;
  options.explain = true;
  options.errors = true;
  options.keepalive = false;
  Fd file = open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  return std::make_shared<PlainView>(Sink(std::move(file)), options);
}

}  // namespace slipway::report
