# shellcheck shell=bash

NODES=$'0.12.3\n0.13.0\n18.1.0\n18.20.4\n20.0.0\n20.11.1\n20.20.2\n21.0.0-rc.1\n22.3.0'

test_version_ranges_of_npm() {
  use version
  local range expected
  while IFS='|' read -r range expected; do
    equal "$range: $expected" "$range: $(version::newest_in "${range//,/||}" <<<"$NODES" || true)"
  done <<'TABLE'
20|20.20.2
20.x|20.20.2
v20.0.0|20.0.0
>=18 <20|18.20.4
>= 18.0.0 < 21|20.20.2
^20.0.0|20.20.2
~20.11.0|20.11.1
^0.12.0|0.12.3
18 , 22|22.3.0
18.1.0 - 20.11|20.11.1
>20|22.3.0
<=20|20.20.2
*|22.3.0
21.0.0-rc.1|21.0.0-rc.1
99|
TABLE
}

test_version_not_a_range() {
  use version
  local status=0
  version::newest_in "latest-ish" <<<"$NODES" || status=$?
  equal 2 "$status"
}

test_version_prefix_takes_the_newest() {
  use version
  equal 26.2.5.1 "$(printf '26.2.5\n26.2.5.1\n26.10-rc1\n25.3\n' | version::newest 26)"
  equal 26.10-rc1 "$(printf '26.2.5\n26.10-rc1\n' | version::newest 26.10-rc1)"
  equal "" "$(printf '26.2.5\n' | version::newest 2 || true)"
}

test_version_of_a_debian_package() {
  use version
  equal 25.2.3 "$(version::debian_upstream 1:25.2.3+dfsg-1+deb12u4)"
  equal 1.14.0 "$(version::debian_upstream 1.14.0.dfsg-2)"
}
