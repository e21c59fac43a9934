# The configuration, which links no packet code.
CONFIG_SRC := ctl/config.c ctl/config_tree.c ctl/config_check.c ctl/config_glob.c ctl/config_text.c \
	ctl/schema.c ctl/schema_value.c ctl/schema_options.c ctl/schema_reference.c net/addr.c
FYAML_LIBS := $(call pkgs,--libs libfyaml)

UNIT += test_config
test_config_SRC := tests/unit/test_config.c $(CONFIG_SRC)
test_config_LIBS := $(FYAML_LIBS)

FUZZ += fuzz_config
fuzz_config_SRC := tests/fuzz/fuzz_config.c $(CONFIG_SRC)
fuzz_config_LIBS := $(FYAML_LIBS)
