/* reused.c: dead objects of hot types, kept to be used again. The main GIL guards the lists. */
#include "ext.h"

void *
ext_reused_take(ext_free_list *list, PyTypeObject *type)
{
    ext_reused *object = list->first;
    if (object != NULL) {
        list->first = object->next;
        list->count--;
        PyObject_Init((PyObject *)object, type);
    }
    return object;
}

int
ext_reused_give(ext_free_list *list, void *object)
{
    if (list->count >= EXT_FREE_OBJECTS) {
        return 0;
    }
    ((ext_reused *)object)->next = list->first;
    list->first = object;
    list->count++;
    return 1;
}

void
ext_reused_clear(ext_free_list *list, PyTypeObject *type)
{
    while (list->first != NULL) {
        ext_reused *next = list->first->next;
        type->tp_free(list->first);
        list->first = next;
    }
    list->count = EXT_FREE_OBJECTS;
}
