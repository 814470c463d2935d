include $(sort $(wildcard $(BR2_EXTERNAL_BLACKBOX_PATH)/package/*/*.mk))

# The time of the appliance's last commit, not of Buildroot's: by it a box knows what is newer. Who sets it decides.
ifneq ($(origin SOURCE_DATE_EPOCH),environment)
export SOURCE_DATE_EPOCH := $(shell git -C $(BR2_EXTERNAL_BLACKBOX_PATH) log -1 --format=%ct)
endif

# Kconfig drops without a word what it does not know, or what something else is missing for.
define BLACKBOX_CHECK_KERNEL_CONFIG
	$(BR2_EXTERNAL_BLACKBOX_PATH)/check-kernel-config $(@D)/.config \
		$(BR2_EXTERNAL_BLACKBOX_PATH)/board/x86_64/linux/*.config
endef
LINUX_POST_CONFIGURE_HOOKS += BLACKBOX_CHECK_KERNEL_CONFIG

# The first sector for BIOS, which Buildroot takes for a tool's business; and no configuration but ours, which is built in.
define BLACKBOX_INSTALL_GRUB
	cp $(@D)/build-i386-pc/grub-core/boot.img $(BINARIES_DIR)/boot.img
	rm -f $(BINARIES_DIR)/efi-part/EFI/BOOT/grub.cfg
endef
GRUB2_POST_INSTALL_IMAGES_HOOKS += BLACKBOX_INSTALL_GRUB

# Packages bring more than what is asked for. A post-build hook does not know for which source it is called, so this is none.
define BLACKBOX_KEEP_LISTED
	READELF=$(TARGET_READELF) $(BR2_EXTERNAL_BLACKBOX_PATH)/keep-listed $(TARGET_DIR)
endef
TARGET_FINALIZE_HOOKS += BLACKBOX_KEEP_LISTED

# Nobody logs in: the overlay's /etc is all there is, and has no file for passwords. Buildroot's own hook would fail for that when
# everything is made a second time.
SKELETON_INIT_COMMON_SET_ROOT_PASSWD =
