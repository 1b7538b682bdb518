#include "oci/image_config.h"

#include "base/error.h"

using namespace slipway;
using namespace slipway::oci;

namespace {

const std::string id_a = "sha256:" + std::string(64, 'a');
const std::string id_b = "sha256:" + std::string(64, 'b');

// One key after another may be replaced: the rest is a good config.
std::string document(const std::string& more) {
  return R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]})" +
         (more.empty() ? "" : "," + more) + "}";
}

std::string refusal(const std::string& json) {
  try {
    parse_image_config(json);
  } catch (const Error& error) {
    return fmt::format("{} | {}", static_cast<int>(error.code()), error.what());
  }
  return "no error";
}

}  // namespace

TEST_CASE("image config: everything of a document is read and written back byte for byte") {
  const std::string json =
      R"({"architecture":"arm64","author":"me","config":{"User":"app:staff",)"
      R"("ExposedPorts":{"443/tcp":{},"80/tcp":{}},"Env":["PATH=/bin","EMPTY=","A=b=c"],)"
      R"("Entrypoint":["/e"],"Cmd":["a","b c"],"Volumes":{"/data":{}},"WorkingDir":"/w",)"
      R"("Labels":{"a":"1","b":"x \u003c y \u0026 z"},"StopSignal":"SIGQUIT","ArgsEscaped":true,)"
      R"("Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":30000000000,"Timeout":1,)"
      R"("StartPeriod":2,"StartInterval":3,"Retries":4},"OnBuild":["RUN x"],)"
      R"("Shell":["/bin/bash","-c"],"StopTimeout":5},"created":"2024-01-02T03:04:05Z",)"
      R"("history":[{"created":"2020-01-01T00:00:00Z","created_by":"ADD","author":"you",)"
      R"("comment":"c"},{"created_by":"CMD","empty_layer":true}],"os":"linux",)"
      R"("os.features":["x"],"os.version":"1","rootfs":{"type":"layers","diff_ids":[")" +
      id_a + R"("]},"variant":"v8"})";
  const ImageConfig config = parse_image_config(json);
  CHECK(config.author == "me");
  CHECK(config.created == "2024-01-02T03:04:05Z");
  CHECK(config.platform.to_full_string() == "linux(1)/arm64/v8");
  const RunConfig& run = config.config;
  CHECK(run.user == "app:staff");
  CHECK(run.exposed_ports == std::set<std::string>{"443/tcp", "80/tcp"});
  CHECK(run.env == EnvList{{"PATH", "/bin"}, {"EMPTY", ""}, {"A", "b=c"}});
  CHECK(run.entrypoint == std::vector<std::string>{"/e"});
  CHECK(run.cmd == std::vector<std::string>{"a", "b c"});
  CHECK(run.volumes == std::set<std::string>{"/data"});
  CHECK(run.working_dir == "/w");
  CHECK(run.labels.at("b") == "x < y & z");
  CHECK(run.stop_signal == "SIGQUIT");
  CHECK(run.args_escaped);
  CHECK(run.healthcheck == Healthcheck{{"CMD-SHELL", "true"}, 30'000'000'000, 1, 2, 3, 4});
  CHECK(run.on_build == std::vector<std::string>{"RUN x"});
  CHECK(run.shell == std::vector<std::string>{"/bin/bash", "-c"});
  CHECK(run.unknown == Json{{"StopTimeout", 5}});
  CHECK(config.diff_ids == std::vector<std::string>{id_a});
  REQUIRE(config.history.size() == 2);
  CHECK(config.history[0].created_by == "ADD");
  CHECK_FALSE(config.history[0].empty_layer);
  CHECK(config.history[1].empty_layer);
  CHECK(config.unknown == Json{{"os.features", {"x"}}});
  CHECK(serialize_image_config(config) == json);
}

TEST_CASE("image config: nulls and absent keys are what Go writes for nothing") {
  const ImageConfig config = parse_image_config(
      R"({"architecture":"amd64","os":"linux","config":{"Cmd":null,"Entrypoint":null,"Env":null,)"
      R"("Labels":null,"Volumes":null,"Healthcheck":null,"OnBuild":null},"created":null,)"
      R"("rootfs":{"type":"layers","diff_ids":null},"history":null})");
  CHECK_FALSE(config.config.cmd);
  CHECK_FALSE(config.config.entrypoint);
  CHECK(config.config.env.empty());
  CHECK_FALSE(config.config.healthcheck);
  CHECK(
      serialize_image_config(config) ==
      R"({"architecture":"amd64","config":{},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}})");
  CHECK(serialize_image_config(parse_image_config(document(""))) == serialize_image_config(config));
  // CMD [] is a choice that a child must see (P24).
  CHECK(parse_image_config(document(R"("config":{"Cmd":[]})")).config.cmd ==
        std::vector<std::string>{});
}

TEST_CASE("image config: what is none is refused, exit 5 (threats 7, 19)") {
  const std::string no = "5 | not an image config: ";
  CHECK(refusal("[]") == no + "it is no object");
  CHECK(refusal("{}") == no + "it names no os");
  CHECK(refusal(R"({"os":"linux"})") == no + "it names no architecture");
  CHECK(refusal(R"({"os":"linux","architecture":"amd64"})") == no + "it has no rootfs");
  CHECK(refusal(R"({"schemaVersion":2,"config":{},"layers":[]})") ==
        no + "it has 'layers', as a manifest has");
  CHECK(refusal(document(R"("manifests":[])")) == no + "it has 'manifests', as a manifest has");
  CHECK(refusal("{\"os\": }").find("5 | image config:1:8: not valid JSON: ") == 0);
  const std::string head = R"({"os":"linux","architecture":"amd64","rootfs":)";
  CHECK(refusal(head + R"({"type":"other"}})") == no + "its rootfs is of type 'other'");
  for (const char* id : {"sha256:ab", "../../etc/passwd", "", "sha512:aaaa"})
    CHECK(refusal(head + R"({"type":"layers","diff_ids":[")" + id + "\"]}}") ==
          no + fmt::format("the diff_id '{}' is no digest", id));
  CHECK(refusal(document(R"("config":[])")) == no + "config is no object");
  CHECK(refusal(document(R"("config":{"Env":"x"})")) == no + "Env is no list");
  CHECK(refusal(document(R"("config":{"Env":[1]})")) == no + "Env is no text");
  CHECK(refusal(document(R"("config":{"User":"a\u0000b"})")) == no + "User holds a NUL byte");
  CHECK(refusal(document(R"("config":{"Labels":{"a":1}})")) == no + "a label is no text");
  CHECK(refusal(document(R"("config":{"ArgsEscaped":"yes"})")) ==
        no + "ArgsEscaped is neither true nor false");
  CHECK(refusal(document(R"("config":{"Healthcheck":{"Interval":1.5}})")) ==
        no + "Interval is no whole number");
  CHECK(refusal(document(R"("config":{"Healthcheck":{"Interval":18446744073709551615}})")) ==
        no + "Interval is no whole number");
  CHECK(refusal(document(R"("config":{"Healthcheck":{"Retries":-1}})")) ==
        no + "Retries is out of range");
  CHECK(refusal(document(R"("history":[1])")) == no + "a history entry is no object");
}

TEST_CASE("image config: sizes, counts and depth are bounded (threat 7)") {
  std::string many;
  for (int i = 0; i < 10'001; ++i) many += i == 0 ? "{}" : ",{}";
  CHECK(refusal(document("\"history\":[" + many + "]")) ==
        "5 | not an image config: more than 10000 history entries");
  std::string ids;
  for (int i = 0; i < 10'001; ++i) ids += (i == 0 ? "\"" : ",\"") + id_a + "\"";
  CHECK(refusal(R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[)" +
                ids + "]}}") == "5 | not an image config: more than 10000 layers");
  CHECK(refusal(std::string((8 << 20) + 1, ' ')) ==
        "5 | not an image config: it is larger than 8 MiB");
  CHECK(refusal(document("\"x\":" + std::string(300, '[') + std::string(300, ']'))) ==
        "5 | image config: nested deeper than 200 levels");
}

TEST_CASE("image config: variables are replaced in place (I1)") {
  EnvList env{{"A", "1"}, {"B", "2"}};
  set_env(env, "A", "3");
  set_env(env, "C", "4");
  CHECK(env == EnvList{{"A", "3"}, {"B", "2"}, {"C", "4"}});
  set_env(env, "a", "5");
  CHECK(env.size() == 4);
  CHECK(*find_env(env, "A") == "3");
  CHECK(find_env(env, "D") == nullptr);
  EnvList twice{{"A", "1"}, {"B", "2"}, {"A", "3"}};
  CHECK(*find_env(twice, "A") == "3");
  set_env(twice, "A", "4");
  CHECK(twice == EnvList{{"A", "4"}, {"B", "2"}});
}

TEST_CASE("image config: history and layers are made to agree (M6)") {
  ImageConfig config = scratch_config({});
  config.diff_ids = {id_a, id_b};
  config.history = {{"", "ENV", "", "", true}, {"", "COPY", "", "", false}};
  repair_history(config);
  REQUIRE(config.history.size() == 3);
  CHECK(config.history[2].comment == "buildkit.exporter.image.v0");
  CHECK_FALSE(config.history[2].empty_layer);

  config.diff_ids = {id_a};
  config.history = {{"", "1", "", "", false}, {"", "2", "", "", false}, {"", "3", "", "", false}};
  repair_history(config);
  REQUIRE(config.history.size() == 3);
  CHECK_FALSE(config.history[0].empty_layer);
  CHECK(config.history[1].empty_layer);
  CHECK(config.history[2].empty_layer);
}

TEST_CASE("image config: scratch has a working directory and a PATH (F6)") {
  const ImageConfig config = scratch_config({"linux", "arm64", "", ""});
  CHECK(
      serialize_image_config(config) ==
      R"({"architecture":"arm64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:)"
      R"(/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}})");
  CHECK(scratch_config({"windows", "amd64", "", ""}).config.env.empty());
}

TEST_CASE("image config: text that is not UTF-8 is written as something that can be read") {
  ImageConfig config = scratch_config({});
  config.history = {{"", "RUN printf '\xff\xe2\x80\xa8'", "", "", true}};
  const std::string json = serialize_image_config(config);
  CHECK(json.find("\\u2028") != std::string::npos);
  CHECK_NOTHROW(parse_image_config(json));
  CHECK(serialize_image_config(parse_image_config(json)) == json);
}
