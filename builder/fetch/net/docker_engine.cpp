#include "netfetch/docker_engine.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "netfetch/curl.h"

namespace slipway::netfetch {
namespace {

constexpr size_t answer_bytes_max = 16 << 20;
/// Images whose layers are looked at, the newest first: more is hardly faster than sending them.
constexpr size_t images_asked_max = 200;
constexpr std::chrono::seconds stall_limit{60};

struct Answer {
  long status = 0;
  std::string text;
};

size_t take(char* data, size_t size, size_t count, void* into) {
  std::string& text = *static_cast<std::string*>(into);
  if (text.size() + size * count > answer_bytes_max) return 0;
  text.append(data, size * count);
  return size * count;
}

size_t give(char* buffer, size_t size, size_t count, void* from) {
  const int file = *static_cast<const int*>(from);
  ssize_t done = 0;
  do done = read(file, buffer, size * count);
  while (done < 0 && errno == EINTR);
  return done < 0 ? CURL_READFUNC_ABORT : static_cast<size_t>(done);
}

/// "name" → "na%2Fme"
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-_.~").find(c) != std::string_view::npos)
      out += c;
    else
      out += fmt::format("%{:02X}", byte);
  }
  return out;
}

class Engine {
 public:
  explicit Engine(std::string socket) : socket_(std::move(socket)) { start_curl(); }

  /// A POST with `body` (a descriptor) when there is one, or without content.
  Answer ask(const char* method, const std::string& path, std::optional<int> body = {}) {
    const std::unique_ptr<CURL, CurlDeleter> handle(curl_easy_init());
    if (!handle) fail(ExitCode::machine, "libcurl does not start");
    CURL* curl = handle.get();
    // An engine may be silent as long as it unpacks.
    set_common_options(curl, body ? std::chrono::seconds(0) : stall_limit);
    Answer answer;
    int file = body.value_or(-1);
    char words[CURL_ERROR_SIZE] = "";
    const std::unique_ptr<curl_slist, CurlDeleter> headers(make_headers(body.has_value()));
    set_option(curl, CURLOPT_UNIX_SOCKET_PATH, socket_.c_str());
    set_option(curl, CURLOPT_PROXY, "");
    set_option(curl, CURLOPT_URL, ("http://docker" + path).c_str());
    set_option(curl, CURLOPT_ERRORBUFFER, &words[0]);
    set_option(curl, CURLOPT_WRITEFUNCTION, take);
    set_option(curl, CURLOPT_WRITEDATA, &answer.text);
    set_option(curl, CURLOPT_HTTPHEADER, headers.get());
    if (body) {
      set_option(curl, CURLOPT_POST, 1L);
      set_option(curl, CURLOPT_READFUNCTION, give);
      set_option(curl, CURLOPT_READDATA, &file);
    } else if (std::string_view(method) == "POST") {
      set_option(curl, CURLOPT_POST, 1L);
      set_option(curl, CURLOPT_POSTFIELDS, "");
    }
    const CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    // An engine that refuses an archive may close before it has read all of it.
    if (code != CURLE_OK && answer.status == 0) fail_connection(curl, code, words);
    if (code != CURLE_OK && answer.status < 300)
      fail(ExitCode::outside, "the docker engine at {} broke off: {}", socket_,
           *words != '\0' ? words : curl_easy_strerror(code));
    return answer;
  }

  Json ask_json(const std::string& path) {
    const Answer answer = ask("GET", path);
    check(answer);
    return parse_json(answer.text, "docker engine", static_cast<int>(ExitCode::outside));
  }

  void check(const Answer& answer) const {
    if (answer.status < 300) return;
    throw Error(ExitCode::outside,
                fmt::format("the docker engine at {} refuses: {}", socket_, message_of(answer)));
  }

  [[noreturn]] void refuse(const std::string& words) const {
    throw Error(ExitCode::outside,
                fmt::format("the docker engine at {} refuses: {}", socket_, printable(words)));
  }

 private:
  static curl_slist* make_headers(bool body) {
    if (!body) return nullptr;
    curl_slist* headers = nullptr;
    for (const char* header :
         {"Content-Type: application/x-tar", "Transfer-Encoding: chunked", "Expect:"})
      headers = curl_slist_append(headers, header);
    return headers;
  }

  static std::string message_of(const Answer& answer) {
    const Json json = Json::parse(answer.text, nullptr, false);
    if (json.is_object() && json.contains("message") && json["message"].is_string())
      return printable(json["message"].get<std::string>());
    return status_text(answer.status);
  }

  [[noreturn]] void fail_connection(CURL* curl, CURLcode code, const char* words) const {
    long number = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);
    if (code != CURLE_COULDNT_CONNECT)
      fail(ExitCode::outside, "the docker engine at {} does not answer: {}", socket_,
           *words != '\0' ? words : curl_easy_strerror(code));
    const bool forbidden = number == EACCES || number == EPERM;
    throw Error(ExitCode::machine, fmt::format("no docker engine at {}: {}", socket_,
                                               number != 0 ? std::strerror(static_cast<int>(number))
                                                           : curl_easy_strerror(code)))
        .set_hint(forbidden ? "join the group that owns the socket, or write --docker-archive FILE "
                              "and let somebody who may load it"
                            : "start it, name its socket in DOCKER_HOST, or write "
                              "--docker-archive FILE for later");
  }

  std::string socket_;
};

/// The names of an image that is there: moved to it, as a load would.
void tag(Engine& engine, const std::string& id, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const size_t colon = name.rfind(':');
    engine.check(engine.ask(
        "POST", fmt::format("/images/{}/tag?repo={}&tag={}", escaped(id),
                            escaped(name.substr(0, colon)), escaped(name.substr(colon + 1)))));
  }
}

std::vector<std::string> diff_ids_of(const Json& image) {
  if (!image.contains("RootFS") || !image["RootFS"].contains("Layers")) return {};
  return image["RootFS"]["Layers"].get<std::vector<std::string>>();
}

/// Diff ids of the images it has.
std::vector<std::vector<std::string>> known_layers(Engine& engine) {
  std::vector<std::vector<std::string>> known;
  const Json images = engine.ask_json("/images/json");
  for (const Json& row : images) {
    if (known.size() == images_asked_max) break;
    const Answer answer =
        engine.ask("GET", "/images/" + escaped(row.at("Id").get<std::string>()) + "/json");
    // It may have been removed since.
    if (answer.status != 200) continue;
    known.push_back(
        diff_ids_of(parse_json(answer.text, "docker engine", static_cast<int>(ExitCode::outside))));
  }
  return known;
}

Json answer_for(Engine& engine, const Json& image,
                std::optional<std::vector<std::vector<std::string>>>& known) {
  const auto id = image.at("id").get<std::string>();
  const auto wanted = image.at("diff_ids").get<std::vector<std::string>>();
  const Answer found = engine.ask("GET", "/images/" + escaped(id) + "/json");
  if (found.status == 200) {
    tag(engine, id, image.at("names").get<std::vector<std::string>>());
    return {{"image", true}, {"layers", wanted.size()}};
  }
  if (found.status != 404) engine.check(found);
  if (!known) known = known_layers(engine);
  size_t layers = 0;
  for (const std::vector<std::string>& one : *known) {
    const auto end = std::mismatch(wanted.begin(), wanted.end(), one.begin(), one.end()).first;
    layers = std::max(layers, static_cast<size_t>(end - wanted.begin()));
  }
  return {{"image", false}, {"layers", layers}};
}

/// The engine tells failures in a stream of JSON values behind a 200.
void check_load(const Engine& engine, const Answer& answer) {
  for (const std::string& line : split(answer.text, '\n')) {
    const Json message = Json::parse(line, nullptr, false);
    if (message.is_object() && message.contains("error") && message["error"].is_string())
      engine.refuse(message["error"].get<std::string>());
  }
}

}  // namespace

Json serve_engine(const std::string& op, const Json& request) {
  Engine engine(request.at("socket").get<std::string>());
  if (op == "engine_load") {
    const Answer answer = engine.ask("POST", "/images/load?quiet=1", request.at("body").get<int>());
    engine.check(answer);
    check_load(engine, answer);
    return Json::object();
  }
  std::optional<std::vector<std::vector<std::string>>> known;
  Json answers = Json::array();
  for (const Json& image : request.at("images"))
    answers.push_back(answer_for(engine, image, known));
  return {{"images", answers}};
}

}  // namespace slipway::netfetch
