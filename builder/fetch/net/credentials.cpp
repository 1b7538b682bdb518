#include "netfetch/credentials.h"

#include <openssl/evp.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "netfetch/base64.h"
#include "source/public_names.h"

namespace slipway::netfetch {
namespace {

constexpr size_t config_bytes_max = 8 << 20;
constexpr size_t helper_output_max = 1 << 20;
// A helper may ask its user for a passphrase, or another machine.
constexpr auto helper_timeout = std::chrono::minutes(2);
// The user name by which helpers hand out an identity token.
constexpr const char* token_user = "<token>";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

/// "https://host/v1/" → "host": how docker compares keys.
std::string host_of_key(const std::string& key) {
  std::string host = key;
  for (const std::string scheme : {"https://", "http://"})
    if (starts_with(host, scheme)) host.erase(0, scheme.size());
  const size_t slash = host.find('/');
  const std::string path = slash == std::string::npos ? "" : host.substr(slash);
  host = host.substr(0, slash);
  std::transform(host.begin(), host.end(), host.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  // A path of another kind limits the entry to some repositories (podman); it is not the host's.
  const bool whole_host =
      path.empty() || path == "/" || starts_with(path, "/v1") || starts_with(path, "/v2");
  return whole_host ? host : key;
}

bool same_registry(const std::string& key, const std::string& domain) {
  const source::ImageRegistry& hub = source::public_names().images;
  const std::string host = host_of_key(key);
  if (host == domain) return true;
  if (domain != hub.domain) return false;
  return host == hub.host ||
         std::find(hub.aliases.begin(), hub.aliases.end(), host) != hub.aliases.end();
}

std::string text_field(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const Json& object_field(const Json& object, const char* name) {
  static const Json none = Json::object();
  const auto found = object.find(name);
  return found != object.end() && found->is_object() ? *found : none;
}

std::optional<Credentials> read_entry(const Json* entry, const std::string& file) {
  if (entry == nullptr || !entry->is_object()) return std::nullopt;
  Credentials found;
  found.identity_token = text_field(*entry, "identitytoken");
  found.registry_token = text_field(*entry, "registrytoken");
  found.user = text_field(*entry, "username");
  found.secret = text_field(*entry, "password");
  if (const std::string packed = text_field(*entry, "auth"); !packed.empty()) {
    const std::optional<std::string> plain = base64_decode(packed);
    const size_t colon = plain ? plain->find(':') : std::string::npos;
    if (colon == std::string::npos)
      fail(ExitCode::machine, "{}: an 'auth' is not base64 of user:password", file);
    found.user = plain->substr(0, colon);
    found.secret = plain->substr(colon + 1);
    // Old versions of docker filled up with zeros.
    found.secret.erase(std::min(found.secret.find_last_not_of('\0') + 1, found.secret.size()));
  }
  if (found.user == token_user) found.identity_token = std::exchange(found.secret, "");
  if (found.empty()) return std::nullopt;
  return found;
}

RunResult run_helper(const std::string& name, const char* verb, const std::string& input) {
  // A part of a program's name, not a path (threat 23).
  const bool sound = !name.empty() && name.size() <= 100 && name[0] != '-' &&
                     std::all_of(name.begin(), name.end(), [](unsigned char c) {
                       return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
                     });
  if (!sound) fail(ExitCode::machine, "'{}' is not a credential helper's name", printable(name));
  const std::string program = "docker-credential-" + name;
  if (find_program(program).empty())
    throw Error(ExitCode::machine,
                fmt::format("the credential helper {} is not installed", program))
        .set_hint(
            "install it, or take it out of credsStore and credHelpers in docker's config.json");
  RunOptions options;
  options.argv = {program, verb};
  options.input = input;
  options.output_max = helper_output_max;
  options.timeout = helper_timeout;
  return run(options);
}

[[noreturn]] void fail_helper(const std::string& name, const char* verb, const RunResult& result) {
  // Helpers say on stdout what went wrong; of a failed `get` that is no secret.
  std::string words(trim(result.out.empty() ? result.err : result.out));
  words = printable(words.substr(0, 300));
  fail(ExitCode::machine, "docker-credential-{} {} failed ({}){}{}", name, verb,
       result.timed_out ? "time limit" : result.status.to_string(), words.empty() ? "" : ": ",
       words);
}

std::optional<Credentials> ask_helper(const std::string& name, const std::string& key) {
  const RunResult result = run_helper(name, "get", key);
  if (!result.status.ok() || result.timed_out) {
    if (result.out.find("credentials not found") != std::string::npos ||
        result.err.find("credentials not found") != std::string::npos)
      return std::nullopt;
    fail_helper(name, "get", result);
  }
  Json answer;
  try {
    answer = parse_json(result.out, "answer", static_cast<int>(ExitCode::machine));
  } catch (const Error&) {
    // The parser's words would quote what may be the secret.
    fail(ExitCode::machine, "docker-credential-{} get did not answer with JSON", name);
  }
  Credentials found;
  found.user = text_field(answer, "Username");
  found.secret = text_field(answer, "Secret");
  if (found.user == token_user) found.identity_token = std::exchange(found.secret, "");
  if (found.empty()) return std::nullopt;
  return found;
}

Json load_json(const std::string& text, const std::string& file) {
  if (trim(text).empty()) return Json::object();
  Json value;
  try {
    value = parse_json(text, file, static_cast<int>(ExitCode::machine));
  } catch (const Error& error) {
    // Position yes, words no: they quote what stands there (threat 15).
    throw Error(ExitCode::machine, "not valid JSON")
        .set_pos(error.pos().value_or(SourcePos{file}))
        .set_hint("mend the file, or remove it and log in again");
  }
  if (!value.is_object()) fail(ExitCode::machine, "{}: not a JSON object", file);
  return value;
}

}  // namespace

std::string CredentialStore::key(const std::string& domain) {
  const source::ImageRegistry& hub = source::public_names().images;
  return domain == hub.domain ? hub.credentials_key : domain;
}

CredentialStore CredentialStore::load() {
  CredentialStore store;
  if (const std::string text = environment("DOCKER_AUTH_CONFIG"); !text.empty())
    store.from_environment_ = load_json(text, "DOCKER_AUTH_CONFIG");
  std::string folder = environment("DOCKER_CONFIG");
  if (folder.empty() && !environment("HOME").empty()) folder = environment("HOME") + "/.docker";
  if (folder.empty()) return store;
  store.file_ = fs::path(folder) / "config.json";
  if (const auto text = read_file_if_exists(store.file_, config_bytes_max))
    store.config_ = load_json(*text, store.file_.string());
  return store;
}

const Json* CredentialStore::entry(const Json& config, const std::string& domain) const {
  const Json& auths = object_field(config, "auths");
  if (const auto exact = auths.find(key(domain)); exact != auths.end() && !exact->empty())
    return &*exact;
  for (const auto& [name, value] : auths.items())
    if (same_registry(name, domain) && !value.empty()) return &value;
  return nullptr;
}

std::string CredentialStore::helper_for(const std::string& domain) const {
  for (const auto& [name, helper] : object_field(config_, "credHelpers").items())
    if (same_registry(name, domain) && helper.is_string()) return helper.get<std::string>();
  return text_field(config_, "credsStore");
}

std::optional<Credentials> CredentialStore::find(const std::string& domain) const {
  if (auto found = read_entry(entry(from_environment_, domain), "DOCKER_AUTH_CONFIG")) return found;
  if (const std::string helper = helper_for(domain); !helper.empty())
    if (auto found = ask_helper(helper, key(domain))) return found;
  return read_entry(entry(config_, domain), file_.string());
}

void CredentialStore::change_file(const std::function<void(nlohmann::ordered_json&)>& change) {
  if (file_.empty())
    throw Error(ExitCode::machine,
                "there is no place for credentials: neither DOCKER_CONFIG nor "
                "HOME is set");
  make_directories(file_.parent_path(), 0700);
  // Two logins at once must not lose one another's entry.
  const Fd folder = open_file(file_.parent_path().string(), O_RDONLY | O_DIRECTORY);
  while (flock(folder.get(), LOCK_EX) != 0)
    if (errno != EINTR) fail_errno("lock {}", file_.parent_path().string());
  const std::string text = read_file_if_exists(file_, config_bytes_max).value_or("");
  load_json(text, file_.string());
  // The order of other people's keys stays.
  auto config =
      trim(text).empty() ? nlohmann::ordered_json::object() : nlohmann::ordered_json::parse(text);
  change(config);
  std::error_code problem;
  // A link to a file kept elsewhere stays one.
  const fs::path real = fs::canonical(file_, problem);
  write_file_atomic(
      problem ? file_ : real,
      config.dump(1, '\t', false, nlohmann::ordered_json::error_handler_t::replace) + "\n", 0600);
}

std::string CredentialStore::store(const std::string& domain, const Credentials& credentials) {
  const std::string helper = helper_for(domain);
  const std::string name = key(domain);
  const bool token = !credentials.identity_token.empty();
  if (!helper.empty()) {
    const Json input = {{"ServerURL", name},
                        {"Username", token ? token_user : credentials.user},
                        {"Secret", token ? credentials.identity_token : credentials.secret}};
    const RunResult result = run_helper(helper, "store", dump_json(input));
    if (!result.status.ok()) fail_helper(helper, "store", result);
  }
  change_file([&](nlohmann::ordered_json& config) {
    nlohmann::ordered_json kept = nlohmann::ordered_json::object();
    if (helper.empty()) {
      kept["auth"] = base64_encode(credentials.user + ":" + (token ? "" : credentials.secret));
      if (token) kept["identitytoken"] = credentials.identity_token;
    }
    config["auths"][name] = kept;
  });
  return helper.empty() ? file_.string() : "the credential helper docker-credential-" + helper;
}

bool CredentialStore::erase(const std::string& domain) {
  bool there = false;
  if (const std::string helper = helper_for(domain); !helper.empty()) {
    there = ask_helper(helper, key(domain)).has_value();
    if (there) {
      const RunResult result = run_helper(helper, "erase", key(domain));
      if (!result.status.ok()) fail_helper(helper, "erase", result);
    }
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : object_field(config_, "auths").items())
    if (same_registry(name, domain)) names.push_back(name);
  if (names.empty()) return there;
  change_file([&](nlohmann::ordered_json& config) {
    for (const std::string& name : names) config["auths"].erase(name);
  });
  return true;
}

}  // namespace slipway::netfetch
