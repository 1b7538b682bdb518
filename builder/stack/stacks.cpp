#include "stack/stacks.h"

#include "base/files.h"
#include "base/text.h"
#include "source/public_names.h"

namespace slipway::stack {
namespace {

constexpr const char* host_name = "host";

// What the machine's own root is, as far as a build could notice: its release and the state of its
// package database.
std::string host_identity() {
  KeyBuilder key("host stack");
  key.add("os", read_file_if_exists("/etc/os-release", 1 << 16).value_or(""));
  for (const char* path : {"/var/lib/dpkg/status", "/usr/bin", "/usr/local/bin", "/usr/lib"}) {
    struct stat info {};
    if (::stat(path, &info) != 0) continue;
    key.add(path, fmt::format("{} {}.{}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
  }
  return "host " + key.finish().hex();
}

std::string host_presents() {
  std::string id, version;
  for (const std::string& line :
       split(read_file_if_exists("/etc/os-release", 1 << 16).value_or(""), '\n')) {
    std::string value = line.substr(std::min(line.size(), line.find('=') + 1));
    if (value.size() > 1 && value.front() == '"') value = value.substr(1, value.size() - 2);
    if (starts_with(line, "ID=")) id = value;
    if (starts_with(line, "VERSION_ID=")) version = value;
  }
  // Ubuntu 22.04 is what heroku-22 is made of, and so on.
  if (id == "ubuntu" && version.size() >= 2) return "heroku-" + version.substr(0, 2);
  return id.empty() ? "host" : id + (version.empty() ? "" : "-" + version);
}

std::pair<std::string, std::string> name_and_variant(const std::string& reference) {
  SLIPWAY_CHECK(starts_with(reference, "stack:"));
  const size_t slash = reference.rfind('/');
  SLIPWAY_CHECK(slash != std::string::npos);
  return {reference.substr(6, slash - 6), reference.substr(slash + 1)};
}

// Of a platform's stack that nobody imported under its name.
const source::StackImages* public_images(const cache::Store& store, const std::string& name) {
  const auto& stacks = source::public_names().stacks;
  const auto found = stacks.find(name);
  if (found == stacks.end()) return nullptr;
  const auto imported = store.find_value("stack", name + "/build");
  return imported && imported->contains("presents") ? nullptr : &found->second;
}

bool usable(const cache::Store& store, const std::optional<Json>& value) {
  return value && store.find_snapshot(value->value("snapshot", uint64_t{0}));
}

}  // namespace

Stacks::Stacks(cache::Store& store, report::Stream& stream, Cancel& cancel)
    : store_(store), stream_(stream), cancel_(cancel) {}

std::vector<Info> Stacks::list() const {
  std::vector<Info> rows;
  const auto fill = [&](Info& row) {
    const auto run = store_.find_value("stack", row.name + "/run");
    const auto build = store_.find_value("stack", row.name + "/build");
    row.made = usable(store_, build) || usable(store_, run);
    if (usable(store_, run)) row.run_bytes = run->value("bytes", uint64_t{0});
    if (usable(store_, build)) {
      row.build_bytes = build->value("bytes", uint64_t{0});
      row.identity = build->value("identity", std::string());
      row.created = build->value("created", std::string());
    }
  };
  for (const std::string& name : defined_names()) {
    Info row{name, "definition", read_definition(name)->presents, false, 0, 0, {}, {}};
    fill(row);
    rows.push_back(std::move(row));
  }
  for (const auto& [name, value] : store_.list_values("stack")) {
    if (!ends_with(name, "/build") || !value.contains("presents")) continue;
    Info row{name.substr(0, name.size() - 6),
             "oci layout",
             value.at("presents").get<std::string>(),
             false,
             0,
             0,
             {},
             {}};
    fill(row);
    rows.push_back(std::move(row));
  }
  for (const auto& [name, images] : source::public_names().stacks) {
    if (public_images(store_, name) == nullptr) continue;
    Info row{name, "public image", name, false, 0, 0, {}, {}};
    fill(row);
    rows.push_back(std::move(row));
  }
  rows.push_back({host_name, "this machine", host_presents(), true, 0, 0, host_identity(), {}});
  return rows;
}

void Stacks::check_name(const std::string& name) const {
  if (name == host_name || read_definition(name) || public_images(store_, name) != nullptr ||
      store_.find_value("stack", name + "/build"))
    return;
  std::vector<std::string> names;
  for (const Info& info : list()) names.push_back(info.name);
  Error error(ExitCode::usage, fmt::format("there is no stack '{}'", printable(name)));
  if (const auto near = closest(name, names))
    error.set_hint(fmt::format("did you mean '{}'?", *near));
  else
    error.set_hint("stacks here: " + join(names, ", ") + "; `slipway stack ls` tells more");
  throw error;
}

std::string Stacks::presented(const std::string& name, const std::string& present) const {
  check_name(name);
  if (name == host_name) return present.empty() ? host_presents() : present;
  if (public_images(store_, name) != nullptr) {
    if (present.empty() || present == name) return name;
    throw Error(ExitCode::usage,
                fmt::format("the stack {} cannot present itself as '{}'", name, printable(present)))
        .set_hint("it is the platform's own image of that name");
  }
  const auto definition = read_definition(name);
  if (!definition) {
    const auto value = store_.find_value("stack", name + "/build");
    return present.empty() ? value->value("presents", name) : present;
  }
  if (present.empty() || present == definition->presents) return definition->presents;
  const auto& good = definition->can_present;
  if (std::find(good.begin(), good.end(), present) == good.end())
    throw Error(ExitCode::usage,
                fmt::format("the stack {} cannot present itself as '{}'", name, present))
        .set_hint(fmt::format("its libraries are new enough for: {}", join(good, ", ")));
  return present;
}

engine::ResolvedImage Stacks::resolve(engine::Engine& engine, const graph::ImageOp& image) {
  const auto [name, variant] = name_and_variant(image.reference);
  check_name(name);
  if (name == host_name) return {host_identity(), {}, true};
  const auto definition = read_definition(name);
  const std::string row = name + "/" + variant;
  const auto fresh = [&]() -> std::optional<Json> {
    auto value = store_.find_value("stack", row);
    if (!usable(store_, value)) return std::nullopt;
    if (definition && value->value("definition", std::string()) != definition->digest.hex())
      return std::nullopt;
    return value;
  };
  auto value = fresh();
  if (!value && public_images(store_, name) != nullptr) value = fetch(engine, name, variant);
  if (!value) {
    if (!definition)
      throw Error(ExitCode::machine, fmt::format("the layers of stack {} are gone", name))
          .set_hint("import it again with `slipway stack create`");
    const cache::Lock lock = store_.lock("stack-" + row, &cancel_, [&] {
      stream_.step(fmt::format("Waiting: another build is making the {} stack", name));
    });
    value = fresh();
    if (!value) value = make(engine, *definition, variant);
  }
  const auto top = value->at("snapshot").get<cache::SnapshotId>();
  engine.lease().protect_snapshot(top);
  return {value->at("identity").get<std::string>(), store_.chain(top), false};
}

// Pinned from now on: the name is asked again by update() alone.
Json Stacks::fetch(engine::Engine& engine, const std::string& name, const std::string& variant) {
  const source::StackImages& images = source::public_names().stacks.at(name);
  const std::string& reference = variant == "run" ? images.run : images.build;
  SLIPWAY_CHECK(find_image_);
  stream_.step(fmt::format("Fetching the {} stack ({})", name, reference));
  engine::ResolvedImage image;
  try {
    image = find_image_(engine, reference);
  } catch (const Interrupted&) {
    throw;
  } catch (Error& error) {
    if (error.hint().empty())
      error.set_hint("`slipway stack create " + name + " --from DIR` takes it from an OCI layout");
    throw error.add_context("fetching the stack " + name);
  }
  if (image.layers.empty() && image.unpack) image.layers = image.unpack(engine);
  if (image.layers.empty())
    fail(ExitCode::outside, "the image {} of the stack {} is empty", reference, name);
  uint64_t bytes = 0;
  for (const cache::SnapshotId layer : image.layers)
    if (const auto found = store_.find_snapshot(layer)) bytes += found->size_bytes;
  const Json value = {{"snapshot", image.layers.front()},
                      {"identity", image.identity},
                      {"bytes", bytes},
                      {"image", reference}};
  store_.put_value("stack", name + "/" + variant, value);
  return value;
}

void Stacks::update(engine::Engine& engine, const std::string& name) {
  check_name(name);
  if (public_images(store_, name) != nullptr) {
    for (const char* variant : {"run", "build"}) (void)fetch(engine, name, variant);
    return;
  }
  const auto definition = read_definition(name);
  if (!definition)
    fail(ExitCode::usage, "the stack {} was not made from a definition, so it cannot be updated",
         name);
  const cache::Lock lock = store_.lock("stack-update-" + name, &cancel_);
  (void)make(engine, *definition, "run");
  (void)make(engine, *definition, "build");
}

void Stacks::import_layout(engine::Engine& engine, const std::string& name,
                           const std::string& build_layout, const std::string& run_layout,
                           const std::string& presents) {
  if (name == host_name || read_definition(name))
    fail(ExitCode::usage, "a stack '{}' comes with Slipway; choose another name", name);
  if (name.empty() ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-._") != std::string::npos)
    fail(ExitCode::usage, "'{}' is no stack name: small letters, digits, '-', '.' and '_'",
         printable(name));
  for (const char* variant : {"run", "build"}) {
    const std::string& layout =
        std::string(variant) == "run" && !run_layout.empty() ? run_layout : build_layout;
    std::string identity;
    const cache::SnapshotId top = unpack_layout(engine, layout, identity);
    uint64_t bytes = 0;
    for (const cache::SnapshotId layer : store_.chain(top))
      bytes += store_.find_snapshot(layer)->size_bytes;
    store_.put_value("stack", name + "/" + variant,
                     {{"snapshot", top},
                      {"identity", identity},
                      {"bytes", bytes},
                      {"presents", presents.empty() ? name : presents}});
  }
  store_.sync();
}

void Stacks::remove(const std::string& name) {
  check_name(name);
  if (name == host_name) fail(ExitCode::usage, "the host stack is this machine itself");
  store_.remove_value("stack", name + "/run");
  store_.remove_value("stack", name + "/build");
}

}  // namespace slipway::stack
