################################################################################
#
# p2p-blackbox
#
################################################################################

P2P_BLACKBOX_VERSION = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' $(BR2_EXTERNAL_BLACKBOX_PATH)/../Cargo.toml | head -n 1)
P2P_BLACKBOX_SITE = $(BR2_EXTERNAL_BLACKBOX_PATH)/..
P2P_BLACKBOX_SITE_METHOD = local
P2P_BLACKBOX_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude /target
P2P_BLACKBOX_LICENSE = MIT or Apache-2.0
P2P_BLACKBOX_LICENSE_FILES = LICENSE
P2P_BLACKBOX_DEPENDENCIES = host-jq

P2P_BLACKBOX_CARGO_BUILD_OPTS = -p blackboxd -p blackbox-init

# As in the workspace's own release profile, which Buildroot's environment would hide, and as scripts/build-image does: the
# C library inside, and no path of this machine.
P2P_BLACKBOX_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=3 \
	CARGO_PROFILE_RELEASE_LTO=thin \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=4 \
	CARGO_TARGET_$(call UPPERCASE,$(RUSTC_TARGET_NAME))_RUSTFLAGS="-C target-feature=+crt-static \
		--remap-path-prefix=$(@D)=/blackbox --remap-path-prefix=$(HOST_DIR)=/host"

# Buildroot fetches crates for packages that it downloads; this one is here already. What Cargo.lock names comes from
# crates.io, with checksums.
define P2P_BLACKBOX_VENDOR
	cd $(@D) && mkdir -p .cargo && \
		$(HOST_MAKE_ENV) $(HOST_PKG_CARGO_ENV) cargo vendor --locked VENDOR > .cargo/config.toml
endef
P2P_BLACKBOX_PRE_BUILD_HOOKS += P2P_BLACKBOX_VENDOR

define P2P_BLACKBOX_LIST_CRATES
	mkdir -p $(BINARIES_DIR) && cd $(@D) && \
		$(HOST_MAKE_ENV) $(HOST_PKG_CARGO_ENV) CARGO_NET_OFFLINE=true \
		image/list-crates . > $(BINARIES_DIR)/crates.cdx.json
endef
P2P_BLACKBOX_POST_BUILD_HOOKS += P2P_BLACKBOX_LIST_CRATES

define P2P_BLACKBOX_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/$(RUSTC_TARGET_NAME)/release/blackbox-init \
		$(TARGET_DIR)/usr/sbin/blackbox-init
	$(INSTALL) -D -m 0755 $(@D)/target/$(RUSTC_TARGET_NAME)/release/blackboxd \
		$(TARGET_DIR)/usr/bin/blackboxd
endef

# What goes into legal-info is the sources too, and not everything that was ever built of them.
p2p-blackbox-legal-info: RSYNC_VCS_EXCLUSIONS += $(P2P_BLACKBOX_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS)

$(eval $(cargo-package))
