// image: the store's own images, named with -t.
#include <cstdio>

#include "base/text.h"
#include "cli/command.h"
#include "image/names.h"
#include "oci/reference.h"

namespace slipway::cli {
namespace {

int list_images(Environment& environment, bool json) {
  std::vector<std::vector<std::string>> rows;
  Json list = Json::array();
  for (const image::NameRow& row : image::list_names(environment.store())) {
    const std::string familiar = oci::parse_reference(row.name).familiar();
    rows.push_back({familiar, row.platform, row.image_id.substr(0, 19), format_size(row.size_bytes),
                    row.created});
    list.push_back({{"name", row.name},
                    {"platform", row.platform},
                    {"id", row.image_id},
                    {"size", row.size_bytes},
                    {"created", row.created}});
  }
  if (json)
    fmt::print("{}\n", dump_json(list, 2));
  else
    print_table({"name", "platform", "id", "size", "created"}, rows, false);
  return 0;
}

int remove_images(Environment& environment, const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const image::NameRow& row : image::list_names(environment.store()))
    known.push_back(oci::parse_reference(row.name).familiar());
  // All are looked for before the first goes.
  std::vector<std::string> canonical;
  for (const std::string& name : names) {
    const oci::Reference reference = oci::parse_reference(name);
    if (std::find(known.begin(), known.end(), reference.familiar()) == known.end()) {
      Error error(ExitCode::usage, fmt::format("there is no image '{}'", printable(name)));
      if (const auto near = closest(reference.familiar(), known))
        error.set_hint(fmt::format("did you mean '{}'?", *near));
      throw error;
    }
    canonical.push_back(reference.canonical());
  }
  for (const std::string& name : canonical) (void)image::forget_name(environment.store(), name);
  return 0;
}

}  // namespace

std::function<int()> setup_image(CLI::App& app, Environment& environment) {
  struct Flags {
    bool json = false;
    std::vector<std::string> names;
  };
  auto flags = std::make_shared<Flags>();
  app.require_subcommand(1);
  CLI::App* ls = app.add_subcommand("ls", "list the images that -t named");
  ls->add_flag("--json", flags->json, "print JSON");
  CLI::App* rm =
      app.add_subcommand("rm", "forget names; the next prune frees what they alone kept");
  rm->add_option("NAME", flags->names)->required();
  return [=, &environment] {
    return ls->parsed() ? list_images(environment, flags->json)
                        : remove_images(environment, flags->names);
  };
}

}  // namespace slipway::cli
