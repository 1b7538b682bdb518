#include "cli/container_options.h"

#include "base/files.h"
#include "base/text.h"

namespace slipway::cli {
namespace {

constexpr size_t secret_max_bytes = 500 << 10;  // buildx's limit for one secret

/// A flag of docker's that has no meaning here.
struct Refused {
  const char* name;
  bool takes_value;
  const char* why;
  const char* instead;
};
constexpr Refused refused[] = {
    {"--builder", true, "there are no builder instances: every build runs here", "leave it out"},
    {"--cgroup-parent", true, "a step's cgroup is the build's own",
     "limit the build with --memory and --cpus"},
    {"--compress", false, "the context is not sent anywhere", "leave it out"},
    {"--cpu-period", true, "limits are the whole build's", "use --cpus"},
    {"--cpu-quota", true, "limits are the whole build's", "use --cpus"},
    {"--cpu-shares,-c", true, "limits are the whole build's", "use --cpus"},
    {"--cpuset-cpus", true, "limits are the whole build's", "start slipway with taskset"},
    {"--cpuset-mems", true, "limits are the whole build's", "start slipway with numactl"},
    {"--memory-swap", true, "--memory limits memory and swap together", "use --memory"},
    {"--security-opt", true, "the profile of steps is fixed",
     "--allow security.insecure with RUN --security=insecure lifts it for one step"},
    {"--squash", false, "an image's layers are its cache",
     "a second stage with COPY --from=0 / / makes one layer"},
    {"--sbom", true, "no bill of materials is made", "scan the image with a tool for it"},
    {"--provenance", true, "no attestation is attached",
     "--metadata-file says what was built from what"},
    {"--attest", true, "no attestation is attached",
     "--metadata-file says what was built from what"},
    {"--call", true, "a build is a build", "`slipway plan` shows what would be done"},
    {"--check", false, "findings are shown by every build", "`slipway plan` builds nothing"},
    {"--policy", true, "there are no source policies", "name bases by digest"},
};

/// "a=b" → {a, b}; the value may be missing when `fallback` knows one.
std::pair<std::string, std::string> split_pair(const std::string& text, const char* flag) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos)
    throw Error(ExitCode::usage, fmt::format("{} {}: no NAME=VALUE", flag, printable(text)))
        .set_hint(fmt::format("write {} NAME=VALUE", flag));
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// The fields of "id=a,src=b"; values hold no comma, as with docker.
std::map<std::string, std::string> fields_of(const std::string& text, const char* flag,
                                             const std::vector<std::string>& known) {
  std::map<std::string, std::string> fields;
  for (const std::string& part : split(text, ',')) {
    const auto [key, value] = split_pair(part, flag);
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      Error error(ExitCode::usage,
                  fmt::format("{} {}: unknown field '{}'", flag, printable(text), printable(key)));
      throw std::move(error).set_hint("known are " + join(known, ", "));
    }
    fields[key] = value;
  }
  return fields;
}

build::SecretSource parse_secret(const std::string& text) {
  auto fields = fields_of(text, "--secret", {"id", "src", "source", "env", "type"});
  build::SecretSource secret;
  secret.id = fields["id"];
  std::string file = fields["src"] + fields["source"];
  const std::string type = fields["type"];
  if (!type.empty() && type != "file" && type != "env")
    fail(ExitCode::usage, "--secret {}: type is file or env", printable(text));
  std::string variable = fields["env"];
  if (type == "env" && variable.empty()) variable = std::exchange(file, {});
  if (secret.id.empty()) {
    if (file.empty() && variable.empty())
      throw Error(ExitCode::usage, fmt::format("--secret {}: no id", printable(text)))
          .set_hint("write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE");
    secret.id = file.empty() ? variable : fs::path(file).filename().string();
  }
  // docker: without either, a variable of that name, else a file of that name.
  if (file.empty() && variable.empty()) {
    if (std::getenv(secret.id.c_str()) != nullptr)
      variable = secret.id;
    else
      file = secret.id;
  }
  if (!variable.empty()) {
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr)
      fail(ExitCode::usage, "--secret {}: {} is not set in the environment", printable(secret.id),
           printable(variable));
    secret.value = value;
    return secret;
  }
  try {
    secret.value = read_file(file, secret_max_bytes);
  } catch (Error& error) {
    throw Error(ExitCode::usage, error.cause())
        .add_context("reading the secret " + printable(secret.id));
  }
  return secret;
}

graph::Ulimit parse_ulimit(const std::string& text) {
  const auto [name, limits] = split_pair(text, "--ulimit");
  graph::Ulimit limit;
  limit.name = name;
  const std::vector<std::string> parts = split(limits, ':');
  try {
    limit.soft = std::stoll(parts.at(0));
    limit.hard = parts.size() > 1 ? std::stoll(parts[1]) : limit.soft;
  } catch (const std::exception&) {
    fail(ExitCode::usage, "--ulimit {}: no NAME=SOFT[:HARD]", printable(text));
  }
  return limit;
}

/// Where docker itself would look for its engine.
std::string engine_socket() {
  const char* host = std::getenv("DOCKER_HOST");
  if (host == nullptr || *host == '\0') return "/var/run/docker.sock";
  constexpr std::string_view scheme = "unix://";
  if (starts_with(host, scheme)) return std::string(host).substr(scheme.size());
  throw Error(ExitCode::usage, fmt::format("--load: DOCKER_HOST is {}, and only an engine's socket "
                                           "on this machine (unix://PATH) is spoken to",
                                           printable(host)))
      .set_hint("slipway build … --docker-archive - | docker load");
}

/// --output type=…: buildx's way to say what our own flags say.
void apply_output(const std::string& text, build::ImageOutputs& images) {
  if (text.find('=') == std::string::npos) {
    images.dir = text;
    return;
  }
  auto fields = fields_of(text, "--output",
                          {"type", "dest", "name", "push", "compression", "oci-mediatypes", "tar"});
  const std::string type = fields["type"], dest = fields["dest"];
  const auto needs_dest = [&] {
    if (dest.empty()) fail(ExitCode::usage, "--output {}: dest= is missing", printable(text));
  };
  if (!fields["name"].empty())
    for (const std::string& name : split(fields["name"], ',')) images.tags.push_back(name);
  if (fields["compression"] == "zstd") images.codec = archive::Codec::zstd;
  if (fields["compression"] == "uncompressed") images.codec = archive::Codec::stored;
  if (type == "local") {
    needs_dest();
    images.dir = dest;
  } else if (type == "oci") {
    needs_dest();
    (fields["tar"] == "false" ? images.oci : images.oci_archive) = dest;
  } else if (type == "docker") {
    if (dest.empty())
      images.load = true;
    else
      images.docker_archive = dest;
  } else if (type == "image" || type == "registry") {
    images.push = images.push || type == "registry" || fields["push"] == "true";
  } else {
    throw Error(ExitCode::usage, fmt::format("--output {}: unknown type", printable(text)))
        .set_hint("local (or --dir), oci (or --oci-archive), docker, image and registry are known");
  }
}

}  // namespace

void ContainerFlags::declare(CLI::App& command) {
  const auto list = [&](const char* name, std::vector<std::string>& values, const char* help,
                        const char* type) {
    command.add_option(name, values, help)->type_name(type)->allow_extra_args(false);
  };
  command
      .add_option("-f,--file", file, "Dockerfile to build (default: PATH/Dockerfile; - is stdin)")
      ->type_name("FILE");
  command.add_option("--target", target, "stage to build")->type_name("STAGE");
  list("--build-arg", build_args, "value of an ARG; K alone takes it from the environment",
       "K[=V]");
  list("--build-context", contexts, "a further context: folder, docker-image://, git or oci-layout",
       "NAME=VALUE");
  list("--secret", secrets, "secret for RUN --mount=type=secret", "id=ID[,src=FILE|,env=VAR]");
  list("--ssh", ssh, "ssh agent for RUN --mount=type=ssh", "default|ID[=SOCKET]");
  list("--label", labels, "label of the image", "K=V");
  list("--annotation", annotations, "annotation of the manifest", "K=V");
  list("--platform", platforms, "platform of the image; several make one index", "OS/ARCH");
  list("--no-cache-filter", no_cache_filter, "stages that are built anew", "STAGE");
  list("--allow", allow, "grant network.host or security.insecure", "GRANT");
  list("--add-host", add_hosts, "a line of the steps' hosts file", "NAME:IP");
  list("--ulimit", ulimits, "limit of the steps", "NAME=SOFT[:HARD]");
  command.add_option("--shm-size", shm_size, "size of the steps' /dev/shm")->type_name("SIZE");
  command.add_flag("--pull", pull, "ask registries for every base, also for known ones");
  command.add_flag("--literal-config", literal_config,
                   "heroku.yml: \"$NAME\" in build.config is no config var");
  list("-t,--tag", tags, "name of the image; several images get NAME-web, NAME-worker", "REF");
  command.add_option("--oci", oci, "write an OCI layout into this folder")->type_name("DIR");
  command.add_option("--oci-archive", oci_archive, "write an OCI archive")->type_name("FILE");
  command.add_option("--docker-archive", docker_archive, "write what `docker load` reads")
      ->type_name("FILE");
  command.add_option("--dir", dir, "write the image's files into this folder")->type_name("DIR");
  list("-o,--output", outputs, "as buildx has it: type=local|oci|docker|registry,dest=…", "SPEC");
  command.add_option("--compression", compression, "of layers: gzip, zstd or none");
  command.add_flag("--push", push, "push the image under its names");
  command.add_flag("--load", load, "load the image into the running docker engine");
  command.add_option("--iidfile", iidfile, "write the image's id")->type_name("FILE");
  command.add_flag("-q,--quiet", quiet, "print nothing but the image's id");
  // As with docker, where intermediate containers do not exist either.
  command.add_flag("--rm,--force-rm")->group("");
  for (const Refused& flag : refused) {
    const auto refuse = [&flag] {
      const std::string_view name =
          std::string_view(flag.name).substr(0, std::string_view(flag.name).find(','));
      throw Error(ExitCode::usage, fmt::format("{} is not taken: {}", name, flag.why))
          .set_hint(flag.instead);
    };
    if (flag.takes_value)
      command
          .add_option_function<std::string>(flag.name, [refuse](const std::string&) { refuse(); })
          ->group("");
    else
      command.add_flag_callback(flag.name, refuse)->group("");
  }
}

void ContainerFlags::apply(build::BuildRequest& request) const {
  build::ContainerOptions& container = request.container;
  container.file = file;
  container.target = target;
  container.deciding_flag = !file.empty() ? "-f" : !target.empty() ? "--target" : "";
  for (const std::string& text : build_args) {
    if (text.find('=') != std::string::npos) {
      container.build_args.insert_or_assign(split_pair(text, "--build-arg").first,
                                            split_pair(text, "--build-arg").second);
    } else if (const char* value = std::getenv(text.c_str())) {
      container.build_args[text] = value;
    }
  }
  for (const std::string& text : contexts)
    container.contexts.insert(split_pair(text, "--build-context"));
  for (const std::string& text : labels) {
    const size_t equals = text.find('=');
    container.labels[text.substr(0, equals)] =
        equals == std::string::npos ? "" : text.substr(equals + 1);
  }
  for (const std::string& text : annotations)
    request.images.annotations.insert(split_pair(text, "--annotation"));
  for (const std::string& text : secrets) container.secrets.push_back(parse_secret(text));
  for (const std::string& text : ssh) {
    const size_t equals = text.find('=');
    const char* agent = std::getenv("SSH_AUTH_SOCK");
    if (equals != std::string::npos)
      container.ssh_agents[text.substr(0, equals)] = text.substr(equals + 1);
    else if (agent != nullptr)
      container.ssh_agents[text] = agent;
    else
      throw Error(ExitCode::usage, fmt::format("--ssh {}: no ssh agent runs", printable(text)))
          .set_hint("start one (eval $(ssh-agent)), or name its socket: --ssh " + text + "=SOCKET");
  }
  for (const std::string& text : platforms)
    for (const std::string& one : split(text, ','))
      container.platforms.push_back(oci::parse_platform(one, oci::native_platform()));
  for (const std::string& text : no_cache_filter)
    for (const std::string& stage : split(text, ',')) container.no_cache_stages.insert(stage);
  for (const std::string& grant : allow) {
    if (grant == "network.host")
      container.allow_host_network = true;
    else if (grant == "security.insecure")
      container.allow_insecure = true;
    else
      throw Error(ExitCode::usage, fmt::format("--allow {}: unknown grant", printable(grant)))
          .set_hint("network.host or security.insecure");
  }
  for (const std::string& text : add_hosts) {
    // NAME:IP as docker has it, NAME=IP as buildx has it; an IPv6 address may stand in brackets.
    const size_t cut = text.find_first_of(":=");
    if (cut == 0 || cut == std::string::npos)
      fail(ExitCode::usage, "--add-host {}: no NAME:IP", printable(text));
    std::string address = text.substr(cut + 1);
    if (address.size() > 2 && address.front() == '[' && address.back() == ']')
      address = address.substr(1, address.size() - 2);
    container.extra_hosts.emplace_back(text.substr(0, cut), address);
  }
  for (const std::string& text : ulimits) container.ulimits.push_back(parse_ulimit(text));
  if (!shm_size.empty()) {
    const auto bytes = parse_size(shm_size);
    if (!bytes || *bytes == 0)
      fail(ExitCode::usage, "--shm-size {}: not a size", printable(shm_size));
    container.shm_size_bytes = *bytes;
  }
  container.pull = pull;
  container.literal_config = literal_config;

  build::ImageOutputs& images = request.images;
  images.tags = tags;
  if (!oci.empty()) images.oci = oci;
  if (!oci_archive.empty()) images.oci_archive = oci_archive;
  if (!docker_archive.empty()) images.docker_archive = docker_archive;
  if (!dir.empty()) images.dir = dir;
  if (!iidfile.empty()) images.iidfile = iidfile;
  images.push = push;
  images.print_id = quiet;
  images.load = load;
  if (compression == "zstd")
    images.codec = archive::Codec::zstd;
  else if (compression == "none")
    images.codec = archive::Codec::stored;
  else if (compression != "gzip")
    throw Error(ExitCode::usage, fmt::format("--compression {}: unknown", printable(compression)))
        .set_hint("gzip, zstd or none");
  for (const std::string& text : outputs) apply_output(text, images);
  if (images.load && container.platforms.size() > 1)
    throw Error(ExitCode::usage, "--load takes one platform")
        .set_hint("name one with --platform, or write --oci DIR");
  if (images.load) images.engine_socket = engine_socket();
  if (images.dir == "-")
    throw Error(ExitCode::usage, "an image's files go into a folder, not to stdout")
        .set_hint("--oci-archive - writes an archive of the image to stdout");
  if (images.push && images.tags.empty())
    throw Error(ExitCode::usage, "--push without a name").set_hint("name the image with -t");
}

}  // namespace slipway::cli
