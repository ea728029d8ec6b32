"""Keras's callbacks around a training by graphs."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from kexp.models import Network


class Watched:
    """Keras's callbacks around a training by graphs; without any it does nothing."""

    def __init__(
        self,
        network: Network,
        optimizer: keras.optimizers.Optimizer,
        callbacks: Sequence[keras.callbacks.Callback],
        epochs: int,
    ) -> None:
        self._core, self._optimizer, self._peak = network.core, optimizer, network.learning_rate
        self._list = None
        if callbacks:
            if getattr(network.core, "optimizer", None) is not optimizer:
                network.core.compile(optimizer)  # callbacks reach it through the model
            network.core.stop_training = False
            self._list = keras.callbacks.CallbackList(list(callbacks), model=network.core, epochs=epochs)
            self._list.on_train_begin()

    @property
    def stopped(self) -> bool:
        """Whether a callback wants the training to end."""
        return self._list is not None and bool(self._core.stop_training)

    def begin(self, epoch: int) -> tf.Tensor:
        """The peak of the cycle in `epoch` (from 0); 0 where the optimiser has a schedule of its own."""
        self._tell("on_epoch_begin", epoch)
        return tf.constant(self._peak or 0.0, tf.float32)

    def end(self, epoch: int, logs: dict[str, float]) -> None:
        """Epoch `epoch` (from 0) ended with `logs`."""
        self._tell("on_epoch_end", epoch, logs)

    def close(self, logs: dict[str, float]) -> None:
        """The training ended; `logs` of its last epoch."""
        self._tell("on_train_end", logs)

    def _tell(self, event: str, *arguments: object) -> None:
        """What callbacks see, and may change, as the learning rate is the peak of the cycle."""
        if self._list is None:
            return
        if self._peak is not None:
            self._optimizer.learning_rate = self._peak
        getattr(self._list, event)(*arguments)
        if self._peak is not None:
            self._peak = float(self._optimizer.learning_rate)
