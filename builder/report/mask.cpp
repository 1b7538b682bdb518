#include "report/mask.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "report/encode.h"

namespace slipway::report {
namespace {

/// The part of base64(prefix + value + suffix) that depends on `value` alone, for a prefix of
/// `shift` bytes modulo 3.
std::string base64_core(const std::string& value, size_t shift) {
  const std::string text = base64(std::string(shift, '\0') + value);
  const size_t bits = (shift + value.size()) * 8;
  const size_t first = (shift * 8 + 5) / 6;
  const size_t last = bits / 6;
  return last > first ? text.substr(first, last - first) : std::string();
}

std::string url_safe(std::string text) {
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

std::string percent_encoded(const std::string& value) {
  std::string text;
  for (const char c : value) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain)
      text += c;
    else
      text += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return text;
}

}  // namespace

void Masker::add_form(const std::string& form) {
  if (form.size() < size_min_bytes) return;
  std::vector<std::string>& bucket = forms_[static_cast<unsigned char>(form[0])];
  if (std::find(bucket.begin(), bucket.end(), form) != bucket.end()) return;
  bucket.push_back(form);
  std::stable_sort(bucket.begin(), bucket.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
}

bool Masker::add(const std::string& value) {
  if (value.size() < size_min_bytes) return false;
  ++values_count_;
  add_form(value);
  // A reader such as $(cat file) drops the newlines at the end (ENV-3).
  const size_t end = value.find_last_not_of("\r\n");
  if (end == std::string::npos) return true;
  const std::string core = value.substr(0, end + 1);
  add_form(core);
  if (core.find('\n') != std::string::npos)
    for (const std::string& line : split(core, '\n')) {
      add_form(line);
      add_form(std::string(trim(line)));
    }
  for (const std::string& form : {value, core}) {
    for (size_t shift = 0; shift < 3; ++shift) {
      add_form(base64_core(form, shift));
      add_form(url_safe(base64_core(form, shift)));
    }
    const std::string whole = base64(form);
    for (const size_t width : {size_t{64}, size_t{76}})
      for (size_t at = 0; whole.size() > width && at < whole.size(); at += width)
        add_form(whole.substr(at, width));
  }
  add_form(percent_encoded(core));
  const std::string json = dump_json(Json(core));
  add_form(json.substr(1, json.size() - 2));
  return true;
}

size_t Masker::process(std::string_view text, bool last, std::string& out) const {
  size_t at = 0;
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    size_t hit = 0;
    for (const std::string& form : forms_[static_cast<unsigned char>(rest[0])]) {
      if (rest.size() < form.size()) {
        if (!last && form.starts_with(rest)) return at;
      } else if (rest.starts_with(form)) {
        hit = form.size();
        break;
      }
    }
    if (hit > 0) {
      out += replacement;
      at += hit;
    } else {
      out += rest[0];
      ++at;
    }
  }
  return at;
}

std::string Masker::push(uint64_t stream, std::string_view piece) {
  if (empty()) return std::string(piece);
  std::string text;
  if (const auto before = held_.find(stream); before != held_.end()) {
    text = std::move(before->second);
    held_.erase(before);
  }
  text += piece;
  std::string out;
  const size_t done = process(text, false, out);
  if (done < text.size()) held_[stream] = text.substr(done);
  return out;
}

std::string Masker::flush(uint64_t stream) {
  const auto found = held_.find(stream);
  if (found == held_.end()) return {};
  std::string out;
  process(found->second, true, out);
  held_.erase(found);
  return out;
}

std::vector<uint64_t> Masker::held_streams() const {
  std::vector<uint64_t> streams;
  for (const auto& entry : held_) streams.push_back(entry.first);
  return streams;
}

std::string Masker::mask(std::string_view text) const {
  std::string out;
  process(text, true, out);
  return out;
}

}  // namespace slipway::report
