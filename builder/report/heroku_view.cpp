#include "report/format.h"
#include "report/sink.h"
#include "report/views.h"

namespace slipway::report {
namespace {

class HerokuView : public View {
 public:
  HerokuView(int fd, bool explain) : sink_(fd), explain_(explain) {}

  void on_event(const Event& event) override {
    if (const auto* output = std::get_if<Output>(&event)) sink_.write(output->data);
    if (const auto* notice = std::get_if<Notice>(&event)) sink_.line(notice_text(*notice));
    const auto* step = std::get_if<StepFinished>(&event);
    if (step == nullptr || !explain_) return;
    sink_.line("       " + step_line(*step));
    if (const auto reason = explain_line(*step)) sink_.line("       " + *reason);
  }

 private:
  Sink sink_;
  bool explain_;
};

}  // namespace

std::shared_ptr<View> make_heroku_view(int fd, bool explain) {
  return std::make_shared<HerokuView>(fd, explain);
}

}  // namespace slipway::report
