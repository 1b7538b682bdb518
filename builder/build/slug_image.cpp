#include "build/slug_image.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "build/image_trees.h"
#include "build/launcher.h"
#include "build/slug_layers.h"
#include "dockerfile/history.h"
#include "image/layers.h"

namespace slipway::build {
namespace {

using archive::LayerEntry;
using archive::LayerEntryType;

constexpr const char* launcher_folder = "slipway";
constexpr const char* launcher_path = "slipway/launch";
constexpr std::string_view app_prefix = "app/";

/// Text files that no tree has, by path in the image.
using TextFiles = std::map<std::string, std::string>;

Fd text_file(const std::string& text) {
  Fd file(memfd_create("text", MFD_CLOEXEC));
  if (!file) fail_errno("memfd_create");
  write_all(file.get(), text);
  if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("seek");
  return file;
}

/// A file of root's and the folder it is in; the listing's last entries.
void add_text(archive::LayerListing& listing, const std::string& folder, const std::string& path,
              const std::string& text, uint32_t mode, int64_t time) {
  LayerEntry entry;
  entry.mtime = time;
  if (listing.entries.empty() || !starts_with(listing.entries.back().path, folder + "/")) {
    entry.path = folder;
    entry.type = LayerEntryType::directory;
    entry.mode = 0755;
    listing.entries.push_back(entry);
  }
  entry.path = path;
  entry.type = LayerEntryType::file;
  entry.mode = mode;
  entry.size = text.size();
  entry.digest = hash_bytes(text);
  listing.entries.push_back(std::move(entry));
}

bool has_id(const std::string& table, uint32_t id) {
  for (const std::string& line : split(table, '\n')) {
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() > 2 && fields[2] == std::to_string(id)) return true;
  }
  return false;
}

std::string with_line(std::string table, const std::string& line) {
  if (!table.empty() && table.back() != '\n') table += '\n';
  return table + line + "\n";
}

class SlugImage {
 public:
  SlugImage(const Session& session, engine::Engine& engine, Bases& bases,
            const BuildRequest& request, const SlugImageInput& input)
      : session_(session), engine_(engine), bases_(bases), request_(request), input_(input) {}

  image::Image run() {
    const std::string stack = "stack:" + input_.stack + "/run";
    image::Image image = bases_.image_of(engine_, {stack, oci::native_platform()});
    SlugParts parts = part_slug(*input_.tree, input_.writers, input_.packs, input_.source_time);
    add_users(bases_.resolve(engine_, {stack, oci::native_platform().to_string()}).layers);
    for (SlugLayer& layer : parts.dependencies) add(std::move(layer));
    texts_[launcher_path] = image_launcher(*input_.tree, input_.types);
    add_text(parts.output.listing, launcher_folder, launcher_path, texts_[launcher_path], 0755,
             slug::mtime_in_slug("", input_.source_time));
    add(std::move(parts.output));
    add(std::move(parts.source));
    write(image);
    configure(image.config);
    return image;
  }

 private:
  /// A layer to write.
  struct Part {
    std::string title;
    std::vector<slug::PycCandidate> candidates;
    std::map<size_t, size_t> member_of;
    image::LayerContents contents;
  };

  // Of a layer: what is in it, and the time of its topmost folder.
  static void note(image::Image& image, int64_t time, const std::string& what) {
    oci::History entry;
    entry.created = dockerfile::rfc3339(time);
    entry.created_by = "slipway: " + what;
    image.config.history.push_back(std::move(entry));
  }

  // Programs ask who they are, and where their home is. A stack of ours has the user.
  void add_users(const std::vector<cache::SnapshotId>& stack) {
    if (stack.empty()) return;
    const Digest key =
        KeyBuilder("stack has the app user").add("snapshot", uint64_t{stack.front()}).finish();
    if (const auto known = session_.store.find_result(key, engine_.lease());
        known && known->extra.value("complete", false))
      return;
    const auto reader = engine_.worker().read_tree({0, stack}, "");
    const auto table = [&](const std::string& path) -> std::string {
      Fd file;
      try {
        file = std::move(reader->open({path}).at(0));
      } catch (const Error&) {
        return {};  // it has none yet
      }
      return read_all(file.get(), 16 << 20);
    };
    const std::string passwd = table("etc/passwd"), group = table("etc/group");
    cache::Result result;
    result.snapshot = stack.front();
    result.extra["complete"] = has_id(passwd, app_uid) && has_id(group, app_gid);
    session_.store.put_result({key}, result, "users of stacks", {});
    SlugLayer layer;
    layer.title = "the user app";
    const auto add_table = [&](const std::string& path, const std::string& text) {
      texts_[path] = text;
      add_text(layer.listing, "etc", path, text, 0644, slug::mtime_in_slug("", 0));
    };
    if (!has_id(group, app_gid)) add_table("etc/group", with_line(group, "dyno:x:1000:"));
    if (!has_id(passwd, app_uid))
      add_table("etc/passwd", with_line(passwd, "app:x:1000:1000::/app:/bin/bash"));
    add(std::move(layer));
  }

  void add(SlugLayer layer) {
    if (layer.listing.entries.empty()) return;
    Part part;
    part.title = std::move(layer.title);
    part.candidates = std::move(layer.candidates);
    part.member_of = std::move(layer.member_of);
    part.contents.listing = std::move(layer.listing);
    parts_.push_back(std::move(part));
  }

  std::vector<Fd> open(const std::vector<std::string>& paths) const {
    std::vector<Fd> files(paths.size());
    std::vector<std::string> inside;
    std::vector<size_t> places;
    for (size_t i = 0; i < paths.size(); ++i) {
      const auto text = texts_.find(paths[i]);
      if (text != texts_.end()) {
        files[i] = text_file(text->second);
        continue;
      }
      inside.push_back(paths[i].substr(app_prefix.size()));
      places.push_back(i);
    }
    if (inside.empty()) return files;
    std::vector<Fd> opened = input_.open(inside);
    SLIPWAY_CHECK(opened.size() == inside.size());
    for (size_t i = 0; i < places.size(); ++i) files[places[i]] = std::move(opened[i]);
    return files;
  }

  std::vector<archive::TarPatch> patches_of(const Part& part) const {
    std::vector<archive::TarPatch> patches;
    for (slug::PycPatch& patch : slug::find_pyc_patches(*input_.tree, input_.open, part.candidates))
      patches.push_back({.member = part.member_of.at(patch.entry),
                         .offset = slug::pyc_mtime_offset,
                         .bytes = std::move(patch.bytes)});
    return patches;
  }

  void write(image::Image& image) {
    std::vector<image::LayerInput> inputs;
    for (Part& part : parts_) {
      part.contents.open = [this](const std::vector<std::string>& paths) { return open(paths); };
      part.contents.patches = [this, &part] { return patches_of(part); };
      if (!part.candidates.empty()) {
        KeyBuilder key("times in .pyc files");
        for (const slug::PycCandidate& candidate : part.candidates)
          key.add("member", uint64_t{part.member_of.at(candidate.entry)})
              .add("source", uint64_t{candidate.source_mtime} << 32 | candidate.source_size)
              .add("time", uint64_t{candidate.slug_mtime});
        part.contents.patch_key = key.finish();
      }
      image::LayerInput input;
      input.codec = request_.images.codec;
      input.contents = &part.contents;
      inputs.push_back(std::move(input));
    }
    image::LayerOptions options;
    options.cancel = &session_.cancel;
    options.on_progress = [this](uint64_t done, uint64_t total) {
      session_.stream.emit(report::Progress{0, "compressing", done, total, done == total});
    };
    const std::vector<image::Layer> layers = image::write_layers(
        session_.store, engine_.lease(), image_trees(session_.store, engine_), inputs, options);
    for (size_t i = 0; i < layers.size(); ++i) {
      image.config.diff_ids.push_back(layers[i].diff_id);
      image.layers.push_back(layers[i]);
      note(image, parts_[i].contents.listing.entries.front().mtime, parts_[i].title);
    }
  }

  void configure(oci::ImageConfig& config) const {
    config.created = dockerfile::rfc3339(slug::mtime_in_slug("", input_.source_time));
    config.config = oci::RunConfig();
    oci::RunConfig& run = config.config;
    run.user = fmt::format("{}:{}", app_uid, app_gid);
    run.working_dir = "/app";
    oci::set_env(run.env, "PATH", base_path);
    oci::set_env(run.env, "HOME", "/app");
    run.entrypoint = std::vector<std::string>{std::string("/") + launcher_path};
    if (input_.types.contains("web")) {
      run.cmd = std::vector<std::string>{"web"};
      run.exposed_ports.insert(fmt::format("{}/tcp", default_port));
    }
    run.labels["org.opencontainers.image.title"] = input_.app;
    if (!input_.commit.empty()) run.labels["org.opencontainers.image.revision"] = input_.commit;
    run.labels["slipway.stack"] = input_.stack;
    std::vector<std::string> packs;
    for (const std::string& pack : input_.packs) packs.push_back(pack_name(pack));
    run.labels["slipway.buildpacks"] = join(packs, " ");
    Json types = Json::object();
    for (const auto& [name, command] : input_.types) types[name] = command;
    run.labels["slipway.process-types"] = dump_json(types);
    for (const auto& [name, value] : request_.container.labels) run.labels[name] = value;
    oci::repair_history(config);
  }

  const Session& session_;
  engine::Engine& engine_;
  Bases& bases_;
  const BuildRequest& request_;
  const SlugImageInput& input_;
  TextFiles texts_;
  std::vector<Part> parts_;
};

}  // namespace

image::Image make_slug_image(const Session& session, engine::Engine& engine, Bases& bases,
                             const BuildRequest& request, const SlugImageInput& input) {
  return SlugImage(session, engine, bases, request, input).run();
}

void check_stack_is_image(const std::string& stack) {
  if (stack != "host") return;
  throw Error(ExitCode::usage, "the host stack is this machine itself, so it cannot be in an image")
      .set_hint("build on another stack (`slipway stack ls`), or make a slug: --slug FILE");
}

void check_buildpack_flags(const BuildRequest& request) {
  const ContainerOptions& given = request.container;
  const auto refuse = [](bool was_given, const char* flag, const char* instead) {
    if (!was_given) return;
    throw Error(ExitCode::usage, fmt::format("{} means nothing to a build with buildpacks", flag))
        .set_hint(instead);
  };
  refuse(!given.build_args.empty(), "--build-arg", "config vars are given with -e NAME=VALUE");
  refuse(!given.secrets.empty(), "--secret", "a secret config var is given with --secret-env NAME");
  refuse(!given.ssh_agents.empty(), "--ssh", "leave it out");
  refuse(!given.contexts.empty(), "--build-context", "leave it out");
  refuse(!given.no_cache_stages.empty(), "--no-cache-filter", "--no-cache runs every step");
  refuse(!given.extra_hosts.empty(), "--add-host", "leave it out");
  refuse(!given.ulimits.empty(), "--ulimit", "--memory and --cpus limit the build");
  refuse(given.shm_size_bytes != 0, "--shm-size", "leave it out");
  refuse(given.literal_config, "--literal-config", "leave it out");
  for (const oci::Platform& platform : given.platforms)
    refuse(!(platform == oci::native_platform()), "a --platform that is not this machine's",
           "build on a machine of that platform");
}

}  // namespace slipway::build
