/* parsers_312.h: the abort of Py_FinalizeEx on 3.12.0 to 3.12.3.
 *
 * There a keyword call of an extension function in a rank leaves a tuple of the rank in a C static that
 * main's finalisation frees with the wrong allocator (gh-119213, fixed in 3.12.4). */
#ifndef ISO_PARSERS_312_H
#define ISO_PARSERS_312_H

/* At the very end of a Python host, main attached: makes finalisation forget those parsers. What they
 * hold stays until the process ends. Does nothing on other versions. */
void iso__parsers_forget(void);

#endif
