#include "source/app_json.h"

#include "base/json.h"
#include "base/text.h"
#include "source/env_file.h"
#include "source/json_position.h"

namespace slipway::source {
namespace {

constexpr size_t size_max_bytes = 1 << 20;
// Each entry costs a walk over the file for its position.
constexpr size_t buildpacks_max = 100;

const char* type_words(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "true or false";
    default:
      return "a number";
  }
}

std::string pointer_part(const std::string& key) {
  std::string escaped = "/";
  for (const char c : key) {
    if (c == '~')
      escaped += "~0";
    else if (c == '/')
      escaped += "~1";
    else
      escaped += c;
  }
  return escaped;
}

class Reader {
 public:
  Reader(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  AppJson read() {
    const Json root = parse_json(text_, file_);
    expect(root.is_object(), "", "the file", root, "an object");
    AppJson app;
    if (const Json* name = find(root, "name")) {
      app.name = string("/name", "name", *name);
      app.name_pos = position("/name");
    }
    if (const Json* stack = find(root, "stack")) {
      app.stack = string("/stack", "stack", *stack);
      app.stack_pos = position("/stack");
    }
    overlay("", root, app);
    if (const Json* environments = find(root, "environments")) {
      expect(environments->is_object(), "/environments", "environments", *environments,
             "an object");
      for (const auto& [key, value] : environments->items()) {
        const std::string pointer = "/environments" + pointer_part(key);
        expect(value.is_object(), pointer, "environments." + key, value, "an object");
        overlay(pointer, value, app.environments[key]);
      }
    }
    return app;
  }

 private:
  static const Json* find(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
  }

  SourcePos position(const std::string& pointer) const {
    return json_position(text_, file_, pointer);
  }

  void expect(bool met, const std::string& pointer, const std::string& what, const Json& value,
              const char* expected, const std::string& hint = {}) const {
    if (met) return;
    throw Error(ExitCode::app_files,
                fmt::format("{} must be {}, not {}", printable(what), expected, type_words(value)))
        .set_pos(position(pointer))
        .set_hint(hint);
  }

  std::string string(const std::string& pointer, const std::string& what, const Json& value) const {
    expect(value.is_string(), pointer, what, value, "a string");
    std::string text = value.get<std::string>();
    if (text.find('\0') != std::string::npos)
      throw Error(ExitCode::app_files, fmt::format("{} holds a NUL byte", printable(what)))
          .set_pos(position(pointer));
    return text;
  }

  /// `pointer` is where the overlay's object stands, "" for the whole file.
  void overlay(const std::string& pointer, const Json& object, AppOverlay& result) const {
    std::string prefix = split(pointer, '/').size() == 3 ? pointer.substr(1) + "/" : "";
    for (char& c : prefix)
      if (c == '/') c = '.';
    if (const Json* packs = find(object, "buildpacks"))
      result.buildpacks = buildpacks(pointer + "/buildpacks", prefix + "buildpacks", *packs);
    if (const Json* env = find(object, "env")) {
      expect(env->is_object(), pointer + "/env", prefix + "env", *env, "an object");
      for (const auto& [key, value] : env->items())
        result.env[key] =
            variable(pointer + "/env" + pointer_part(key), prefix + "env." + key, key, value);
    }
    if (const Json* scripts = find(object, "scripts")) {
      expect(scripts->is_object(), pointer + "/scripts", prefix + "scripts", *scripts, "an object");
      for (const auto& [key, value] : scripts->items()) {
        const std::string at = pointer + "/scripts" + pointer_part(key);
        // Review apps' scripts may be objects ({"command", "size"}); the command is what we need.
        const Json* command = value.is_object() ? find(value, "command") : &value;
        if (command != nullptr)
          result.scripts[key] = string(at, prefix + "scripts." + key, *command);
      }
    }
  }

  std::vector<AppBuildpack> buildpacks(const std::string& pointer, const std::string& what,
                                       const Json& list) const {
    expect(list.is_array(), pointer, what, list, "a list");
    if (list.size() > buildpacks_max)
      throw Error(ExitCode::app_files,
                  fmt::format("{} has more than {} entries", what, buildpacks_max))
          .set_pos(position(pointer));
    std::vector<AppBuildpack> packs;
    for (size_t i = 0; i < list.size(); ++i) {
      const Json& item = list[i];
      const std::string at = fmt::format("{}/{}", pointer, i);
      const std::string name = fmt::format("{}[{}]", what, i);
      expect(item.is_object(), at, name, item, "an object with a \"url\"",
             item.is_string() ? fmt::format("write {{\"url\": {}}}", dump_json(item)) : "");
      const Json* url = find(item, "url");
      if (url == nullptr)
        throw Error(ExitCode::app_files, fmt::format("{} has no \"url\"", name))
            .set_pos(position(at));
      std::string text = string(at + "/url", name + ".url", *url);
      if (trim(text).empty())
        throw Error(ExitCode::app_files, fmt::format("{}.url is empty", name))
            .set_pos(position(at + "/url"));
      packs.push_back({std::string(trim(text)), position(at + "/url")});
    }
    return packs;
  }

  AppEnv variable(const std::string& pointer, const std::string& what, const std::string& key,
                  const Json& value) const {
    if (!is_config_key(key))
      throw Error(ExitCode::app_files,
                  fmt::format("'{}' cannot be the name of a config var", printable(key)))
          .set_pos(position(pointer))
          .set_hint(config_key_rule);
    AppEnv env;
    if (value.is_string()) {
      env.value = string(pointer, what, value);
      return env;
    }
    expect(value.is_object(), pointer, what, value, "a string or an object");
    if (const Json* text = find(value, "value"))
      env.value = string(pointer + "/value", what + ".value", *text);
    if (const Json* text = find(value, "description"))
      env.description = string(pointer + "/description", what + ".description", *text);
    if (const Json* required = find(value, "required")) {
      expect(required->is_boolean(), pointer + "/required", what + ".required", *required,
             "true or false");
      env.required = required->get<bool>();
    }
    if (const Json* generator = find(value, "generator")) {
      const std::string kind = string(pointer + "/generator", what + ".generator", *generator);
      if (kind != "secret")
        throw Error(ExitCode::app_files, fmt::format("{}.generator must be \"secret\", not \"{}\"",
                                                     what, printable(kind)))
            .set_pos(position(pointer + "/generator"));
      env.generated = true;
    }
    return env;
  }

  std::string_view text_;
  std::string file_;
};

}  // namespace

AppOverlay AppJson::for_environment(const std::string& environment) const {
  AppOverlay result = *this;
  const auto found = environments.find(environment);
  if (found == environments.end()) return result;
  const AppOverlay& overlay = found->second;
  for (const auto& [key, value] : overlay.env) result.env[key] = value;
  for (const auto& [key, value] : overlay.scripts) result.scripts[key] = value;
  if (overlay.buildpacks) result.buildpacks = overlay.buildpacks;
  return result;
}

AppJson parse_app_json(std::string_view text, const std::string& file) {
  if (text.size() > size_max_bytes)
    throw Error(ExitCode::app_files, "larger than 1 MiB").set_pos({file, 1, 1});
  return Reader(text, file).read();
}

}  // namespace slipway::source
