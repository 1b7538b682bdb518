#include "report/event.h"

#include <algorithm>
#include <exception>

#include "report/mask.h"

namespace slipway::report {

struct Stream::State {
  std::mutex mutex;
  std::vector<std::shared_ptr<View>> views;
  Masker masker;

  /// A view that fails (disk full, terminal gone) is dropped; the others are told, the build goes
  /// on.
  void tell(const Event& event) {
    std::vector<std::string> losses;
    for (auto it = views.begin(); it != views.end();) {
      try {
        (*it)->on_event(event);
        ++it;
      } catch (const std::exception& problem) {
        losses.emplace_back(problem.what());
        it = views.erase(it);
      }
    }
    for (const std::string& loss : losses)
      tell(Notice{Notice::Level::warning, "an output ended early: " + loss});
  }

  void release(StepId step) {
    std::string rest = masker.flush(step);
    if (!rest.empty()) tell(Output{step, std::move(rest)});
  }

  void emit(Notice event) {
    // The builder's own words and its own Output (step 0) come from one mouth: keep their order.
    // Other steps keep what they hold back: half a secret must not slip out between two pieces.
    release(0);
    event.text = masker.mask(event.text);
    tell(event);
  }
  void emit(Output event) {
    event.data = masker.push(event.step, event.data);
    if (!event.data.empty()) tell(event);
  }
  void emit(StepStarted event) {
    event.title = masker.mask(event.title);
    tell(event);
  }
  void emit(StepFinished event) {
    release(event.step);
    event.title = masker.mask(event.title);
    event.missed_because = masker.mask(event.missed_because);
    event.error = masker.mask(event.error);
    tell(event);
  }
  void emit(Progress event) {
    event.what = masker.mask(event.what);
    tell(event);
  }
  void emit(BuildStarted event) { tell(event); }
  void emit(BuildFinished event) {
    for (const uint64_t step : masker.held_streams()) release(step);
    event.error = masker.mask(event.error);
    event.hint = masker.mask(event.hint);
    event.next_command = masker.mask(event.next_command);
    tell(event);
  }
};

Stream::Stream() : state_(std::make_unique<State>()) {}
Stream::~Stream() = default;

void Stream::add_view(std::shared_ptr<View> view) {
  const std::lock_guard lock(state_->mutex);
  state_->views.push_back(std::move(view));
}

bool Stream::mask(const std::string& value) {
  const std::lock_guard lock(state_->mutex);
  return state_->masker.add(value);
}

std::string Stream::masked(const std::string& text) const {
  const std::lock_guard lock(state_->mutex);
  return state_->masker.mask(text);
}

void Stream::emit(Event event) {
  const std::lock_guard lock(state_->mutex);
  std::visit([&](auto& kind) { state_->emit(std::move(kind)); }, event);
}

void Stream::tick() {
  const std::lock_guard lock(state_->mutex);
  // A view that fails here fails again at the next event, where it is dropped and told.
  for (const std::shared_ptr<View>& view : state_->views) {
    try {
      view->on_tick();
    } catch (const std::exception&) {
      continue;
    }
  }
}

}  // namespace slipway::report
