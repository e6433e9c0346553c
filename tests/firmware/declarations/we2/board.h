#pragma once
int board_init(void);
