# The application `bench` of the vendor's SDK (Seeed_Grove_Vision_AI_Module_V2, EPII_CM55M_APP_S). Copy what is in
# firmware/core, firmware/engine_tflm and this directory to app/scenario_app/bench of the SDK, side by side, and
# build it there: make APP_TYPE=bench GNU_TOOLPATH=... (where arm-none-eabi-gcc is).
override SCENARIO_APP_SUPPORT_LIST := $(APP_TYPE)

APPL_DEFINES += -DBENCH_VERSION=\"0.1.0\" -DBENCH_KERNELS=\"CMSIS-NN\" -DBENCH_ETHOS_U
APPL_DEFINES += -DBENCH_OPERATORS=\"operators/vision.inc\"
APPL_DEFINES += -Daudvidpre_ret_pll400_timer1

LIB_SEL = pwrmgmt tflmtag2412_u55tag2411 spi_ptl spi_eeprom
MID_SEL =

override OS_SEL :=
override TRUSTZONE := y
override TRUSTZONE_TYPE := security
override TRUSTZONE_FW_TYPE := 1
override EPII_USECASE_SEL := drv_onecore_cm55m_s_only
override LINKER_SCRIPT_FILE := $(SCENARIO_APP_ROOT)/allon_sensor_tflm/allon_sensor_tflm.ld
