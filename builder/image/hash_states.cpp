#include "image/hash_states.h"

#include "base/error.h"

namespace slipway::image {
namespace {

constexpr size_t kept_max = 128;

std::string from_hex(const std::string& hex) {
  const auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
  const bool good =
      hex.size() % 2 == 0 && hex.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!good) fail(ExitCode::machine, "a kept state of a layer's digest is malformed");
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  return bytes;
}

}  // namespace

std::vector<Digest> chunk_prefixes(const archive::TarPlan& plan) {
  std::vector<Digest> prefixes;
  prefixes.reserve(plan.chunks.size());
  for (const archive::TarPlan::Part& part : plan.chunks) {
    KeyBuilder builder("layer chunks");
    if (!prefixes.empty()) builder.add("before", prefixes.back());
    prefixes.push_back(builder.add("chunk", part.key).finish());
  }
  return prefixes;
}

const HashState* furthest(const std::vector<HashState>& states,
                          const std::vector<Digest>& prefixes) {
  for (auto state = states.rbegin(); state != states.rend(); ++state)
    if (state->chunk < prefixes.size() && prefixes[state->chunk] == state->prefix) return &*state;
  return nullptr;
}

bool is_kept(size_t chunk, size_t chunk_count) {
  const size_t step = (chunk_count + kept_max - 1) / kept_max;
  return (chunk + 1) % std::max<size_t>(step, 1) == 0;
}

Json states_to_json(const std::vector<HashState>& states) {
  Json json = Json::array();
  for (const HashState& state : states)
    json.push_back({state.chunk, state.prefix.hex(), to_hex(state.raw), to_hex(state.blob)});
  return json;
}

std::vector<HashState> states_from_json(const Json& json) {
  std::vector<HashState> states;
  try {
    for (const Json& one : json)
      states.push_back({.chunk = one.at(0).get<size_t>(),
                        .prefix = Digest::from_hex(one.at(1).get<std::string>()),
                        .raw = from_hex(one.at(2).get<std::string>()),
                        .blob = from_hex(one.at(3).get<std::string>())});
  } catch (const Json::exception&) {
    fail(ExitCode::machine, "the kept states of a layer's digests are malformed");
  }
  return states;
}

}  // namespace slipway::image
