/* kept.c: messages that outlive their call: what a slot does when somebody keeps its object, and copy(). */
#include <stdlib.h>
#include <string.h>

#include "script/sipmsg.h"

script_kept *
script_kept_new(const iso_msg *msg, const iso_index *index)
{
    script_kept *kept = PyMem_Malloc(sizeof *kept + msg->length);
    if (kept == NULL)
        return NULL;
    kept->count = 1;
    kept->msg = *msg;
    kept->msg.data = memcpy(kept->octets, msg->data, msg->length);
    kept->msg.index = NULL;
    /* Rows that are not stored are not read. */
    memcpy(&kept->index, index, offsetof(iso_index, rows) + index->row_count * sizeof index->rows[0]);
    return kept;
}

void
script_kept_drop(script_kept *kept)
{
    if (kept != NULL && --kept->count == 0)
        PyMem_Free(kept);
}

void
script_own(script_msg *self, script_kept *kept)
{
    self->kept = kept;
    self->msg = &kept->msg;
    self->storage = &kept->index;
    /* Offset 0 is the start line, so a body that is set says that the rows are there. */
    self->index = kept->index.body != 0 ? &kept->index : NULL;
}

iso_edits *
script_edits_new(const iso_edits *from)
{
    return from != NULL ? iso_edits_copy(from) : calloc(1, sizeof(iso_edits));
}

/* Makes an object that outlives its call independent of the host. Without memory it is left without a
 * message, and reads raise. */
static void
keep(script_msg *object)
{
    script_kept *kept = object->kept;
    if (kept == NULL)
        kept = script_kept_new(object->msg, script_line(object));
    if (object->edits != NULL && iso_edits_count(object->edits) > 0)
        object->own = script_edits_new(object->edits);
    object->edits = NULL;
    object->msg = NULL;
    object->index = object->storage = NULL;
    if (kept != NULL)
        script_own(object, kept);
}

void
script_slot_release(script_slot *slot, script_msg *object)
{
    if (Py_REFCNT(object) == 1) {
        script_kept_drop(object->kept);
        object->kept = NULL;
        script_slot_leave(slot, object);
        return;
    }
    keep(object);
    if (slot->request == object)
        slot->request = NULL;
    else
        slot->reply = NULL;
    Py_DECREF(object);
}

void
script_slot_clear(script_slot *slot)
{
    Py_CLEAR(slot->request);
    Py_CLEAR(slot->reply);
}

/* The kept message that a copy of `self` shares. For the object of a running call it is made here. */
static script_kept *
share(script_msg *self)
{
    if (self->kept == NULL) {
        self->kept = script_kept_new(self->msg, script_line(self));
        if (self->kept == NULL)
            return NULL;
    }
    self->kept->count++;
    return self->kept;
}

PyObject *
script_copy(PyObject *object, PyObject *Py_UNUSED(unused))
{
    script_msg *self = (script_msg *)object;
    if (script_present(self) < 0)
        return NULL;
    script_msg *copy = script_msg_new(self->state, script_line(self)->type);
    if (copy == NULL)
        return NULL;
    script_kept *kept = share(self);
    if (kept != NULL)
        script_own(copy, kept);
    copy->edits = copy->own = script_edits_new(script_edits(self));
    copy->method = Py_XNewRef(self->method);
    copy->origin = self->origin;
    if (self->origin == NULL && (self->edits == NULL || self->edits != self->own))
        copy->origin = self; /* of a running call, or kept from one; not one of the constructor */
    Py_XINCREF(copy->origin);
    if (kept == NULL || copy->own == NULL) {
        Py_DECREF(copy);
        return PyErr_NoMemory();
    }
    return (PyObject *)copy;
}
