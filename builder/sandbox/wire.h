// Binary coding of the values that parent and worker exchange: length-prefixed, little-endian as
// the machine has it (both ends are one machine and one version). A type of ours takes part by a
// free function template fields(coder, value) that names its members once, for both directions.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"

namespace slipway::sandbox {

class Encoder {
 public:
  template <typename... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }
  std::string take() { return std::move(data_); }

 private:
  template <typename T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void put(const T& value) {
    data_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(const std::string& text) {
    put(static_cast<uint64_t>(text.size()));
    data_.append(text);
  }
  template <typename T>
  void put(const std::vector<T>& list) {
    put(static_cast<uint64_t>(list.size()));
    for (const T& item : list) put(item);
  }
  template <typename K, typename V>
  void put(const std::map<K, V>& map) {
    put(static_cast<uint64_t>(map.size()));
    for (const auto& item : map) put(item);
  }
  template <typename A, typename B>
  void put(const std::pair<A, B>& pair) {
    put(pair.first);
    put(pair.second);
  }
  template <typename T>
  void put(const std::optional<T>& value) {
    put(value.has_value());
    if (value) put(*value);
  }
  void put(const std::chrono::milliseconds& value) { put(static_cast<int64_t>(value.count())); }
  template <typename T>
  requires(std::is_class_v<T>) void put(const T& value) { fields(*this, value); }
  std::string data_;
};

/// Throws Error(machine) on a message that is cut short or has bytes left over (see finish()).
class Decoder {
 public:
  explicit Decoder(std::string_view data) : data_(data) {}
  template <typename... T>
  void operator()(T&... values) {
    (get(values), ...);
  }
  template <typename T>
  T next() {
    T value{};
    get(value);
    return value;
  }
  void finish() const {
    if (!data_.empty()) malformed();
  }

 private:
  [[noreturn]] static void malformed() {
    throw Error(ExitCode::machine, "malformed message between Slipway and its worker");
  }
  std::string_view cut(uint64_t size) {
    if (size > data_.size()) malformed();
    const std::string_view part = data_.substr(0, size);
    data_.remove_prefix(size);
    return part;
  }
  template <typename T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void get(T& value) {
    const std::string_view part = cut(sizeof value);
    if constexpr (std::is_same_v<T, bool>)
      value = part[0] != 0;
    else
      std::memcpy(&value, part.data(), sizeof value);
  }
  void get(std::string& text) { text = std::string(cut(next<uint64_t>())); }
  template <typename T>
  void get(std::vector<T>& list) {
    const auto count = next<uint64_t>();
    // Every item takes at least one byte, so a hostile count cannot ask for memory it did not send.
    if (count > data_.size()) malformed();
    list.clear();
    for (uint64_t i = 0; i < count; ++i) list.push_back(next<T>());
  }
  template <typename K, typename V>
  void get(std::map<K, V>& map) {
    const auto count = next<uint64_t>();
    if (count > data_.size()) malformed();
    map.clear();
    for (uint64_t i = 0; i < count; ++i) map.insert(next<std::pair<K, V>>());
  }
  template <typename A, typename B>
  void get(std::pair<A, B>& pair) {
    get(pair.first);
    get(pair.second);
  }
  template <typename T>
  void get(std::optional<T>& value) {
    value.reset();
    if (next<bool>()) value = next<T>();
  }
  void get(std::chrono::milliseconds& value) { value = std::chrono::milliseconds(next<int64_t>()); }
  template <typename T>
  requires(std::is_class_v<T>) void get(T& value) { fields(*this, value); }
  std::string_view data_;
};

}  // namespace slipway::sandbox
