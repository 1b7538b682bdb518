#include "dockerfile/mount_spec.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "dockerfile/keyword.h"
#include "dockerfile/paths.h"

namespace slipway::dockerfile {
namespace {

using graph::CacheSharing;
using graph::MountType;

const std::vector<std::string> known_keys{"type", "from",      "source",  "src",         "target",
                                          "dst",  "id",        "sharing", "destination", "readonly",
                                          "ro",   "readwrite", "rw",      "required",    "size",
                                          "mode", "uid",       "gid",     "env"};
const std::vector<std::string> type_names{"bind", "cache", "secret", "ssh", "tmpfs"};
const std::vector<std::string> sharing_names{"shared", "private", "locked"};

[[noreturn]] void refuse(const std::string& problem, const std::string& suggestion = {}) {
  throw Error(ExitCode::app_files, problem).set_hint(suggestion);
}

std::string near_name(const std::string& name, const std::vector<std::string>& names) {
  std::optional<std::string> near = closest(name, names);
  // "tmp" is two letters from "tmpfs", yet nothing else can be meant.
  if (!near && name.size() > 1)
    for (const std::string& known : names)
      if (known.starts_with(name)) near = known;
  return near ? fmt::format("did you mean '{}'?", *near) : "known are " + join(names, ", ");
}

// One record of RFC 4180: fields between commas, double quotes around those that hold one.
std::vector<std::string> csv_fields(std::string_view text) {
  std::vector<std::string> fields;
  size_t at = 0;
  for (;;) {
    std::string field;
    if (at < text.size() && text[at] == '"') {
      ++at;
      for (;;) {
        if (at == text.size()) refuse("a quote in the mount is not closed");
        if (text[at] == '"' && at + 1 < text.size() && text[at + 1] == '"') {
          field += '"';
          at += 2;
        } else if (text[at] == '"') {
          ++at;
          break;
        } else {
          field += text[at++];
        }
      }
      if (at < text.size() && text[at] != ',')
        refuse("a quoted part of the mount goes on behind its quote");
    } else {
      const size_t end = std::min(text.find(',', at), text.size());
      field = text.substr(at, end - at);
      if (field.find('"') != std::string::npos)
        refuse(fmt::format("'{}' has a quote in the middle", printable(field)),
               "quotes stand around the whole of key=value");
      at = end;
    }
    fields.push_back(std::move(field));
    if (at == text.size()) return fields;
    ++at;
  }
}

struct Field {
  std::string key;
  std::optional<std::string> value;
  std::string written;
};

Field split_field(const std::string& field) {
  const size_t equals = field.find('=');
  Field result{lower_case(field.substr(0, equals)), std::nullopt, field};
  if (equals != std::string::npos) result.value = field.substr(equals + 1);
  return result;
}

template <typename Number>
std::optional<Number> number(const std::string& text, int base) {
  Number value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty())
    return std::nullopt;
  return value;
}

class Reader {
 public:
  Reader(std::string_view spec, const ExpandValue& expand) : spec_(spec), expand_(expand) {}

  MountSpec read() {
    for (const std::string& field : csv_fields(spec_)) read_field(split_field(field));
    finish();
    return std::move(mount_);
  }

 private:
  bool is(MountType type) const { return mount_.type == type; }
  const char* type_name() const {
    return type_names[static_cast<size_t>(std::find(types.begin(), types.end(), mount_.type) -
                                          types.begin())]
        .c_str();
  }

  [[noreturn]] static void bad_value(const Field& field, const std::string& value,
                                     const char* expected) {
    refuse(fmt::format("{}={} is not {}", field.key, printable(value), expected));
  }
  [[noreturn]] void wrong_type(const Field& field, const char* belongs) const {
    refuse(fmt::format("'{}' is not for mounts of type {}", field.key, type_name()),
           fmt::format("it is for {}, and stands behind type=", belongs));
  }

  void read_field(const Field& field) {
    if (std::find(known_keys.begin(), known_keys.end(), field.key) == known_keys.end())
      refuse(field.value ? fmt::format("unknown key '{}' in '{}'", printable(field.key),
                                       printable(field.written))
                         : fmt::format("'{}' is no setting of a mount: write key=value",
                                       printable(field.written)),
             near_name(field.key, known_keys));
    seen_.insert(field.key);
    if (!field.value) return read_bare(field);
    // What stands in `from` was checked before anything could be expanded.
    const std::string value = field.key == "from" ? *field.value : expand_(*field.value);
    if (value.find('\0') != std::string::npos) bad_value(field, value, "text");
    read_value(field, value);
  }

  void read_bare(const Field& field) {
    const std::string& key = field.key;
    if (key == "ro" || key == "readonly")
      readonly_ = true;
    else if (key == "rw" || key == "readwrite")
      readonly_ = false;
    else if (key == "required")
      set_required(field, true);
    else
      refuse(fmt::format("'{}' has no value", key), fmt::format("write {}=…", key));
  }

  void set_required(const Field& field, bool on) {
    if (!is(MountType::secret) && !is(MountType::ssh)) wrong_type(field, "secret and ssh");
    mount_.required = on;
  }

  bool flag(const Field& field, const std::string& value) const {
    const std::optional<bool> on = parse_bool(value);
    if (!on) bad_value(field, value, "true or false");
    return *on;
  }

  void read_value(const Field& field, const std::string& value) {
    const std::string& key = field.key;
    if (key == "type")
      mount_.type = type_of(value);
    else if (key == "from")
      mount_.from = value;
    else if (key == "source" || key == "src")
      mount_.source = value;
    else if (key == "target" || key == "dst" || key == "destination")
      mount_.target = value;
    else if (key == "ro" || key == "readonly")
      readonly_ = flag(field, value);
    else if (key == "rw" || key == "readwrite")
      readonly_ = !flag(field, value);
    else if (key == "required")
      set_required(field, flag(field, value));
    else if (key == "size")
      mount_.size_bytes = size(field, value);
    else if (key == "id")
      mount_.id = value;
    else if (key == "sharing")
      sharing_ = sharing_of(value);
    else if (key == "mode")
      mount_.mode = mode(field, value);
    else if (key == "uid")
      mount_.uid = id(field, value);
    else if (key == "gid")
      mount_.gid = id(field, value);
    else
      mount_.env = value;
  }

  static MountType type_of(const std::string& value) {
    const auto found = std::find(type_names.begin(), type_names.end(), lower_case(value));
    if (found == type_names.end())
      refuse(fmt::format("there are no mounts of type '{}'", printable(value)),
             near_name(lower_case(value), type_names));
    return types[static_cast<size_t>(found - type_names.begin())];
  }

  static CacheSharing sharing_of(const std::string& value) {
    static constexpr std::array kinds{CacheSharing::shared, CacheSharing::private_,
                                      CacheSharing::locked};
    const auto found = std::find(sharing_names.begin(), sharing_names.end(), lower_case(value));
    if (found == sharing_names.end())
      refuse(fmt::format("a cache cannot be shared as '{}'", printable(value)),
             near_name(lower_case(value), sharing_names));
    return kinds[static_cast<size_t>(found - sharing_names.begin())];
  }

  uint64_t size(const Field& field, const std::string& value) const {
    if (!is(MountType::tmpfs)) wrong_type(field, "tmpfs");
    const std::optional<uint64_t> bytes = parse_size(value);
    if (!bytes) bad_value(field, value, "a size such as 128m");
    return *bytes;
  }

  static uint32_t mode(const Field& field, const std::string& value) {
    const std::optional<uint32_t> mode = number<uint32_t>(value, 8);
    if (!mode || *mode > 07777) bad_value(field, value, "an octal number up to 07777");
    return *mode;
  }

  // The highest number means "no id" to the kernel (threat 17).
  static uint32_t id(const Field& field, const std::string& value) {
    const std::optional<uint32_t> id = number<uint32_t>(value, 10);
    if (!id || *id == UINT32_MAX) bad_value(field, value, "a number of 32 bits");
    return *id;
  }

  void finish() {
    const bool has_owner = is(MountType::secret) || is(MountType::ssh) || is(MountType::cache);
    for (const char* key : {"mode", "uid", "gid"})
      if (!has_owner && seen_.contains(key))
        refuse(fmt::format("'{}' is not for mounts of type {}", key, type_name()),
               "it is for cache, secret and ssh");
    mount_.readonly = readonly_.value_or(!is(MountType::cache) && !is(MountType::tmpfs));
    if (sharing_ && !is(MountType::cache))
      refuse(fmt::format("'sharing' is not for mounts of type {}", type_name()),
             "it is for caches");
    mount_.sharing = sharing_.value_or(CacheSharing::shared);
    if (is(MountType::secret)) check_secret();
    if (is(MountType::ssh) && !mount_.source.empty())
      refuse("'source' is not for mounts of type ssh", "the agent is named with id=");
    note_ignored();
  }

  void check_secret() const {
    if (!mount_.from.empty()) refuse("'from' is not for mounts of type secret");
    if (mount_.source.empty() && mount_.target.empty() && mount_.id.empty())
      refuse("the secret is not named", "write id=NAME");
    if (!mount_.source.empty() && !mount_.id.empty())
      refuse("the secret is named twice, by 'id' and by 'source'", "write id= alone");
    if (mount_.env && !mount_.env->empty() &&
        mount_.env->find_first_of(std::string("=\0", 2)) != std::string::npos)
      refuse(fmt::format("env={} is no variable's name", printable(*mount_.env)));
  }

  void note_ignored() {
    const auto note = [&](const char* key, bool means_something) {
      if (seen_.contains(key) && !means_something) mount_.ignored_keys.emplace_back(key);
    };
    note("env", is(MountType::secret));
    note("id", !is(MountType::bind) && !is(MountType::tmpfs));
    for (const char* key : {"from", "source", "src"}) note(key, !is(MountType::tmpfs));
    if (is(MountType::ssh)) note("from", false);
  }

  static constexpr std::array types{MountType::bind, MountType::cache, MountType::secret,
                                    MountType::ssh, MountType::tmpfs};
  std::string_view spec_;
  const ExpandValue& expand_;
  MountSpec mount_;
  std::optional<bool> readonly_;
  std::optional<CacheSharing> sharing_;
  std::set<std::string, std::less<>> seen_;
};

}  // namespace

MountSpec parse_mount(std::string_view spec, const ExpandValue& expand) {
  return Reader(spec, expand).read();
}

std::string mount_from(std::string_view spec) {
  std::string from;
  for (const std::string& text : csv_fields(spec)) {
    const Field field = split_field(text);
    if (field.key != "from" || !field.value) continue;
    from = *field.value;
    const size_t dollar = from.find('$');
    if (dollar != std::string::npos && dollar + 1 != from.size())
      refuse(fmt::format("from={} holds a variable", printable(from)),
             "give the image a name with its own stage, where ARGs before the first FROM count: "
             "'FROM image:$VERSION AS name'");
  }
  return from;
}

}  // namespace slipway::dockerfile
