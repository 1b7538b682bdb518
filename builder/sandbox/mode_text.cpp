#include "sandbox/mode_text.h"

#include <sys/stat.h>

#include "base/error.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

constexpr uint32_t user_bits = S_ISUID | S_IRWXU, group_bits = S_ISGID | S_IRWXG,
                   other_bits = S_IRWXO, execute_bits = S_IXUSR | S_IXGRP | S_IXOTH;

[[noreturn]] void malformed(std::string_view text) {
  throw Error(ExitCode::app_files, fmt::format("--chmod={}: not a mode", printable(text)))
      .set_hint("write an octal number up to 7777 (\"0755\") or chmod's form (\"u=rwX,go=rX\")");
}

/// rwx of one class, for all three.
uint32_t spread(uint32_t class_bits) {
  return class_bits << 6 | class_bits << 3 | class_bits;
}

}  // namespace

ModeChange ModeChange::parse(std::string_view text) {
  ModeChange change;
  if (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    change.octal_ = true;
    for (const char digit : text) {
      if (digit < '0' || digit > '7') malformed(text);
      change.mode_ = change.mode_ << 3 | static_cast<uint32_t>(digit - '0');
      if (change.mode_ > 07777) malformed(text);
    }
    return change;
  }
  for (const std::string& clause : split(text, ',')) {
    size_t at = 0;
    uint32_t who = 0;
    for (; at < clause.size() && std::string_view("ugoa").find(clause[at]) != std::string::npos;
         ++at) {
      const char name = clause[at];
      if (name == 'u' || name == 'a') who |= user_bits;
      if (name == 'g' || name == 'a') who |= group_bits;
      if (name == 'o' || name == 'a') who |= other_bits;
    }
    if (who == 0) who = user_bits | group_bits | other_bits;
    if (at == clause.size()) malformed(text);
    while (at < clause.size()) {
      Change one;
      one.who = who;
      one.op = clause[at++];
      if (one.op != '+' && one.op != '-' && one.op != '=') malformed(text);
      const auto letter = [&] { return at < clause.size() ? clause[at] : '\0'; };
      if (letter() == 'u' || letter() == 'g' || letter() == 'o') {
        one.copy = clause[at++];
      } else {
        for (; std::string_view("rwxXst").find(letter()) != std::string::npos && letter() != '\0';
             ++at) {
          if (letter() == 'r') one.bits |= S_IRUSR | S_IRGRP | S_IROTH;
          if (letter() == 'w') one.bits |= S_IWUSR | S_IWGRP | S_IWOTH;
          if (letter() == 'x') one.bits |= execute_bits;
          if (letter() == 'X') one.execute_if_any = true;
          // "o+s" and "o+t" mean nothing.
          if (letter() == 's' && who != other_bits) one.bits |= S_ISUID | S_ISGID;
          if (letter() == 't' && who != other_bits) {
            one.bits |= S_ISVTX;
            one.who |= S_ISVTX;
          }
        }
      }
      change.changes_.push_back(one);
    }
  }
  return change;
}

uint32_t ModeChange::apply(uint32_t mode, bool folder) const {
  if (octal_) return mode_;
  const uint32_t before = mode & 07777;
  uint32_t now = before;
  for (const Change& change : changes_) {
    uint32_t bits = change.bits;
    if (change.copy == 'u') bits = spread((now & S_IRWXU) >> 6);
    if (change.copy == 'g') bits = spread((now & S_IRWXG) >> 3);
    if (change.copy == 'o') bits = spread(now & S_IRWXO);
    // The file as it was decides, not what earlier clauses made of it (setmode(3)).
    if (change.execute_if_any && (folder || (before & execute_bits) != 0)) bits |= execute_bits;
    bits &= change.who;
    if (change.op == '=') now = (now & ~change.who) | bits;
    if (change.op == '+') now |= bits;
    if (change.op == '-') now &= ~bits;
  }
  return now;
}

}  // namespace slipway::sandbox
