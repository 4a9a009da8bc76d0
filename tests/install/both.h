// tests/install/both.h - what the two halves of one program, each with its own library, say to each other.
float float_third(void);
double double_third(void);
