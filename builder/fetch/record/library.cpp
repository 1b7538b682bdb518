#include "record/library.h"

#include <algorithm>

#include "base/text.h"
#include "fetch/url.h"
#include "record/job.h"

namespace slipway::record {
namespace {

constexpr size_t transfers_max = 128;
constexpr auto unreachable_for = std::chrono::seconds(60);

Digest identity_of(const Digest& key, const Request& request) {
  KeyBuilder identity("recorded request");
  identity.add("key", key);
  for (const char* name : {"accept", "accept-encoding", "accept-language", "git-protocol"})
    identity.add(name, lower_case(request.header(name)));
  return identity.finish();
}

std::string origin_of(const std::string& url) {
  const auto parsed = fetch::parse_url(url);
  return parsed ? parsed->origin() : url;
}

}  // namespace

Library::Library(cache::Store& store, LibraryOptions options)
    : options_(options),
      downloads_(store),
      upstream_(options.upstream, stop_),
      preferred_(options.preferred),
      publisher_(downloads_),
      workers_(transfers_max) {
  std::sort(preferred_.begin(), preferred_.end());
}

Library::~Library() {
  stop();
}

void Library::settle() {
  workers_.settle();
  publisher_.settle();
}

void Library::stop() {
  stop_ = true;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [identity, answer] : in_flight_) answer->fail("the recorder stops");
  }
  workers_.join();
  publisher_.join();
}

bool Library::is_unreachable(const std::string& url) {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  std::erase_if(unreachable_, [&](const auto& entry) { return entry.second < now; });
  // Two of them: it is the network.
  return unreachable_.size() > 1 || unreachable_.contains(origin_of(url));
}

void Library::note_unreachable(const std::string& url) {
  const std::lock_guard lock(mutex_);
  unreachable_[origin_of(url)] = std::chrono::steady_clock::now() + unreachable_for;
}

bool Library::adopt(Answer& answer, const cache::Download& download, Source source) {
  Answer::Head head{download.status, {}, {}, source};
  for (const auto& header : download.headers) {
    // Kept for answers to HEAD only: those have no body to be counted.
    if (header.first == "content-length")
      head.length = netfetch::parse_number(header.second);
    else
      head.headers.push_back(header);
  }
  if (!download.sha256.empty()) {
    try {
      answer.set_file(downloads_.open_body(download), download.size_bytes);
    } catch (const Error&) {
      return false;
    }
    head.length = download.size_bytes;
  }
  answer.set_head(std::move(head));
  answer.complete();
  answer.settle(download.sha256, download.id, download.recorded_s, {});
  return true;
}

std::shared_ptr<Answer> Library::replay(const std::vector<cache::Download>& answers,
                                        const Request& request, Source source, bool any_variant) {
  std::vector<cache::Download> left = answers;
  while (const cache::Download* chosen = choose_answer(left, request, any_variant)) {
    auto answer = std::make_shared<Answer>();
    if (adopt(*answer, *chosen, source)) return answer;
    // Its body is damaged: an older one may do.
    left.erase(left.begin() + (chosen - left.data()));
  }
  return nullptr;
}

std::vector<cache::Download> Library::find(const std::string& key_text) const {
  std::vector<cache::Download> answers = downloads_.find(key_text);
  if (is_offline())
    std::stable_partition(answers.begin(), answers.end(), [&](const cache::Download& answer) {
      return answer.pinned || std::binary_search(preferred_.begin(), preferred_.end(), answer.id);
    });
  return answers;
}

Reading Library::ask(const Request& request, const std::string& step) {
  auto job = std::make_shared<Job>();
  job->request = request;
  job->step = step;
  job->started_s = time(nullptr);
  job->key_text = text_of_key(request);
  job->key = downloads_.key(job->key_text);
  job->identity = identity_of(job->key, request);
  std::vector<cache::Download> answers = find(job->key_text);
  for (const cache::Download& answer : answers)
    job->newest_id = std::max(job->newest_id, answer.id);
  if (request.method == "HEAD") {
    Request get = request;
    get.method = "GET";
    std::vector<cache::Download> whole = find(text_of_key(get));
    answers.insert(answers.begin(), whole.begin(), whole.end());
  }
  if (is_offline()) {
    if (auto answer = replay(answers, request, Source::cache, true)) return Reading(answer);
    auto answer = std::make_shared<Answer>();
    answer->fail("not recorded");
    answer->settle({}, 0, 0, {});
    return Reading(answer);
  }
  const cache::Download* known = choose_answer(answers, request, false);
  if (known != nullptr) {
    const bool fresh = is_fresh(*known, request, time(nullptr));
    if (fresh || is_unreachable(request.url))
      if (auto answer = replay(answers, request, fresh ? Source::cache : Source::stale, false))
        return Reading(answer);
    job->known = *known;
  }
  return bring(std::move(job));
}

Reading Library::bring(std::shared_ptr<Job> job) {
  publisher_.wait_for_room();
  const std::lock_guard lock(mutex_);
  const auto [place, fresh] = in_flight_.try_emplace(job->identity);
  if (!fresh) return Reading(place->second);
  job->answer = place->second = std::make_shared<Answer>();
  // Counted before the work begins: a transfer without readers may be given up.
  Reading reading(job->answer);
  workers_.run([this, job] { work(*job); });
  return reading;
}

void Library::forget(const Digest& identity, const std::shared_ptr<Answer>& answer) {
  const std::lock_guard lock(mutex_);
  const auto found = in_flight_.find(identity);
  if (found != in_flight_.end() && found->second == answer) in_flight_.erase(found);
}

}  // namespace slipway::record
